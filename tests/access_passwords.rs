//! Who may come in: passwords and hashes of them, listeners with rules of their own, and what guessing costs.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use simrun::broker::{AccessRule, Arrival, Config, Credential, Door, Input, Peer, Verdict};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use simrun::password::PasswordHash;
use support::*;

/// Quick to make and to check; only tests may have such a hash.
const HASH: &str = "$argon2id$v=19$m=1024,t=1,p=2$2s06REt881e6mmFbHq5Reg$pJiKDbepPn5ub7PiQkr+CD7hjfqL+K5iYNlCTYUx3GU";
const PASSWORD: &str = "lovelace";

fn hash() -> Arc<PasswordHash> {
    Arc::new(HASH.parse().expect("a hash"))
}

fn users() -> BTreeMap<String, Credential> {
    BTreeMap::from([("ada".to_owned(), Credential::Hash(hash(), None)), ("grace".to_owned(), "hopper".into())])
}

fn host(users: BTreeMap<String, Credential>) -> Host {
    Host::new(Config { users, anonymous: false, ..Config::default() })
}

fn as_user(version: Version, user: &str, password: &str) -> Connect {
    let password = Some(Bytes::copy_from_slice(password.as_bytes()));
    Connect { username: Some(text(user)), password, ..hello(version, "porch") }
}

fn answer(host: &mut Host, connect: Connect) -> Reason {
    let (link, connack) = host.connect(connect);
    host.cut(link);
    connack.reason
}

#[test]
fn a_password_is_held_against_its_hash() {
    for version in BOTH {
        let mut host = host(users());
        for (user, password, reason) in [
            ("ada", PASSWORD, Reason::Success),
            ("ada", "lovelacf", Reason::BadUserNameOrPassword),
            ("ada", "", Reason::BadUserNameOrPassword),
            ("ada", HASH, Reason::BadUserNameOrPassword),
            ("grace", "hopper", Reason::Success),
            ("nobody", PASSWORD, Reason::BadUserNameOrPassword),
        ] {
            host.wait(Duration::from_secs(120));
            assert_eq!(answer(&mut host, as_user(version, user, password)), reason, "{user} {password}");
        }
        assert_eq!(answer(&mut host, hello(version, "porch")), Reason::BadUserNameOrPassword, "nobody at all");
    }
}

#[test]
fn whoever_does_not_exist_costs_the_same_as_a_wrong_password() {
    let mut host = host(users());
    host.verifies = false;
    for user in ["ada", "grace", "nobody", "nobody else"] {
        let link = host.open();
        host.send(link, as_user(Version::V5, user, "wrong"));
        assert!(host.silent(link), "{user} waits");
        assert_eq!(host.unverified.len(), 1, "{user} costs a hash");
        let (id, check) = host.unverified.remove(0);
        assert_eq!((id, check.verdict()), (link, Verdict::Wrong));
        // And whatever that says: it is no password of somebody who has none.
        host.input(Input::Verified(link, if user == "ada" { Verdict::Wrong } else { Verdict::Right }));
        let Packet::ConnAck(connack) = host.next(link) else { panic!("no CONNACK") };
        assert_eq!(connack.reason, Reason::BadUserNameOrPassword, "{user}");
        assert_eq!(host.closed(link), Some(&Cause::Refused(Reason::BadUserNameOrPassword)));
        host.wait(Duration::from_secs(61));
    }
    // A password that is right does not depend on the hash that is there for show.
    let link = host.open();
    host.send(link, as_user(Version::V5, "grace", "hopper"));
    host.input(Input::Verified(link, Verdict::Wrong));
    let Packet::ConnAck(connack) = host.next(link) else { panic!("no CONNACK") };
    assert_eq!(connack.reason, Reason::Success);
}

#[test]
fn what_comes_meanwhile_waits_for_the_verdict() {
    let mut host = host(users());
    host.verifies = false;
    let link = host.open();
    host.send(link, as_user(Version::V5, "ada", PASSWORD));
    host.send(link, publish("light", "on", 1, 1));
    host.send(link, Packet::PingReq);
    assert!(host.silent(link));
    host.input(Input::Verified(link, Verdict::Right));
    assert!(matches!(host.next(link), Packet::ConnAck(connack) if connack.reason == Reason::Success));
    assert!(matches!(host.next(link), Packet::Ack(_)));
    assert!(matches!(host.next(link), Packet::PingResp));
    // A verdict once more, or for a link that is gone, changes nothing.
    host.input(Input::Verified(link, Verdict::Wrong));
    host.input(Input::Verified(LinkId(99), Verdict::Right));
    assert!(host.silent(link) && host.closed(link).is_none());
}

#[test]
fn somebody_who_floods_before_the_verdict_is_cut() {
    let mut host = host(users());
    host.verifies = false;
    let link = host.open();
    host.send(link, as_user(Version::V5, "ada", "wrong"));
    for _ in 0..17 {
        if host.closed(link).is_none() {
            host.send_bytes(link, &[0; 64 * 1024]);
        }
    }
    assert!(matches!(host.closed(link), Some(Cause::Protocol(Reason::QuotaExceeded, _))), "{:?}", host.closed(link));
}

#[test]
fn a_verdict_that_does_not_come_is_waited_for_as_long_as_a_connect() {
    let mut host = host(users());
    host.verifies = false;
    let link = host.open();
    host.send(link, as_user(Version::V5, "ada", PASSWORD));
    host.wait(Duration::from_secs(9));
    assert!(host.closed(link).is_none());
    host.wait(Duration::from_secs(2));
    assert_eq!(host.closed(link), Some(&Cause::ConnectTimeout));
    host.input(Input::Verified(link, Verdict::Right));
}

#[test]
fn too_many_to_check_is_said() {
    let mut host = host(users());
    host.verifies = false;
    let link = host.open();
    host.send(link, as_user(Version::V5, "ada", PASSWORD));
    host.input(Input::Verified(link, Verdict::Busy));
    assert!(matches!(host.next(link), Packet::ConnAck(connack) if connack.reason == Reason::ServerBusy));
}

/// Connects from an address; how long the answer takes, and what it is.
fn attempt(host: &mut Host, from: &str, password: &str) -> (Duration, Reason) {
    let link = host.open_from(from);
    host.send(link, as_user(Version::V5, "grace", password));
    let began = host.now;
    while host.silent(link) {
        host.wait(Duration::from_millis(10));
        assert!(host.now.since(began) < Duration::from_secs(10), "no answer");
    }
    let Packet::ConnAck(connack) = host.next(link) else { panic!("no CONNACK") };
    host.cut_if_open(link);
    (host.now.since(began), connack.reason)
}

#[test]
fn guessing_is_slow_for_right_and_wrong_passwords_alike_and_only_where_it_comes_from() {
    for users in [users(), BTreeMap::from([("grace".to_owned(), "hopper".into())])] {
        let mut host = host(users);
        let wrong = Reason::BadUserNameOrPassword;
        let took: Vec<Duration> = (0..10)
            .map(|n| {
                let (took, reason) = attempt(&mut host, &format!("10.0.0.1:{n}"), "wrong");
                assert_eq!(reason, wrong);
                took
            })
            .collect();
        let expected = [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000].map(Duration::from_millis);
        for (number, (took, expected)) in took.iter().zip(expected).enumerate() {
            let early = expected.saturating_sub(Duration::from_millis(10));
            assert!((early..=expected + Duration::from_millis(10)).contains(took), "{number}: {took:?}");
        }
        let (took, reason) = attempt(&mut host, "10.0.0.1:99", "hopper");
        assert!(
            took >= Duration::from_millis(3900) && reason == Reason::Success,
            "the right one is no quicker: {took:?}"
        );
        let (took, reason) = attempt(&mut host, "10.0.0.2:1", "hopper");
        assert!(took.is_zero() && reason == Reason::Success, "others do not wait");
        host.wait(Duration::from_secs(61));
        let (took, reason) = attempt(&mut host, "10.0.0.1:100", "hopper");
        assert!(took.is_zero() && reason == Reason::Success, "it is forgotten");
    }
}

#[test]
fn whoever_is_held_back_may_leave() {
    let mut host = host(users());
    for n in 0..5 {
        attempt(&mut host, &format!("10.0.0.1:{n}"), "wrong");
    }
    let link = host.open_from("10.0.0.1:9");
    host.send(link, as_user(Version::V5, "grace", "hopper"));
    host.cut(link);
    host.wait(Duration::from_secs(10));
    assert_eq!(host.broker.connections(), 0);
}

#[test]
fn a_listener_has_rules_of_its_own() {
    let mut host = host(users());
    let door = |anonymous, users: Option<&[&str]>| {
        let users = users.map(|users| users.iter().map(|user| (*user).to_owned()).collect());
        Arc::new(Door { anonymous, users })
    };
    let mut answer = |door: &Arc<Door>, user: Option<&str>, connect: Connect| {
        let arrival = Arrival { door: door.clone(), user: user.map(text) };
        let link = host.open_with(|link| Input::Arrived(link, Peer(format!("10.0.0.{}:1", link.0)), arrival));
        host.send(link, connect);
        let Packet::ConnAck(connack) = host.next(link) else { panic!("no CONNACK") };
        connack.reason
    };
    let (version, wrong) = (Version::V5, Reason::BadUserNameOrPassword);
    let open = door(Some(true), None);
    assert_eq!(answer(&open, None, hello(version, "a")), Reason::Success, "no user name is asked for here");
    assert_eq!(answer(&open, None, as_user(version, "grace", "wrong")), wrong, "but one that is told is looked at");
    let for_ada = door(None, Some(&["ada"]));
    assert_eq!(answer(&for_ada, None, as_user(version, "ada", PASSWORD)), Reason::Success);
    assert_eq!(answer(&for_ada, None, as_user(version, "grace", "hopper")), wrong, "not by this door");
    let plain = door(None, None);
    assert_eq!(answer(&plain, Some("lamp"), hello(version, "b")), Reason::Success, "a certificate is enough");
    assert_eq!(answer(&plain, None, hello(version, "c")), wrong);
}

#[test]
fn a_certificates_user_is_the_one_that_rules_are_about() {
    let deny = AccessRule { user: Some("lamp".into()), client_id: None, action: None, filter: None, allow: false };
    let mut host = Host::new(Config { access: vec![deny], anonymous: false, ..Config::default() });
    let arrival = Arrival { user: Some(text("lamp")), ..Arrival::default() };
    let link = host.open_with(|link| Input::Arrived(link, Peer("10.0.0.1:1".into()), arrival));
    host.send(link, as_user(Version::V5, "admin", "whatever"));
    assert!(matches!(host.next(link), Packet::ConnAck(connack) if connack.reason == Reason::Success));
    assert_eq!(host.subscribe(link, "light", Qos::AtMostOnce), [Reason::NotAuthorized]);
}

#[test]
fn users_change_while_clients_stay() {
    let mut host = host(users());
    let (grace, _) = host.connect(as_user(Version::V5, "grace", "hopper"));
    let deny = AccessRule { user: None, client_id: None, action: None, filter: None, allow: false };
    let users = BTreeMap::from([("joan".to_owned(), "clarke".into())]);
    host.broker.reconfigure(Config { users, anonymous: false, access: vec![deny], ..Config::default() });
    assert!(host.closed(grace).is_none());
    assert_eq!(host.subscribe(grace, "light", Qos::AtMostOnce), [Reason::NotAuthorized], "new rules hold for it");
    assert_eq!(answer(&mut host, as_user(Version::V5, "joan", "clarke")), Reason::Success);
    assert_eq!(answer(&mut host, as_user(Version::V5, "grace", "hopper")), Reason::BadUserNameOrPassword);
}

#[test]
fn scram_is_offered_only_where_somebody_can_use_it() {
    let begin = |host: &mut Host| {
        let properties = Properties::new()
            .with(Property::AuthenticationMethod, Value::Text(text("SCRAM-SHA-256")))
            .with(Property::AuthenticationData, Value::Binary("n,,n=ada,r=abc".into()));
        let link = host.open();
        host.send(link, Connect { properties, ..hello(Version::V5, "porch") });
        host.next(link)
    };
    let only_hashes = BTreeMap::from([("ada".to_owned(), Credential::Hash(hash(), None))]);
    let refused = begin(&mut host(only_hashes));
    assert!(matches!(refused, Packet::ConnAck(connack) if connack.reason == Reason::BadAuthenticationMethod));
    let challenge = begin(&mut host(users()));
    assert!(matches!(challenge, Packet::Auth(_)), "grace could, and nobody learns that ada cannot");
    let verifier = simrun::scram::Verifier::new(PASSWORD, b"salt of sixteen!", 4096);
    let with_keys = BTreeMap::from([("ada".to_owned(), Credential::Hash(hash(), Some(verifier)))]);
    let mut host = host(with_keys);
    let mut client = simrun::scram::Client::new("ada", PASSWORD, "abc".to_owned());
    let auth = |data: Vec<u8>| {
        Properties::new()
            .with(Property::AuthenticationMethod, Value::Text(text("SCRAM-SHA-256")))
            .with(Property::AuthenticationData, Value::Binary(data.into()))
    };
    let link = host.open();
    host.send(link, Connect { properties: auth(client.first()), ..hello(Version::V5, "porch") });
    let Packet::Auth(challenge) = host.next(link) else { panic!("no challenge") };
    let data = challenge.properties.authentication_data().expect("a challenge");
    let proof = client.answer(&data).expect("it is meant well");
    host.send(link, Packet::Auth(Auth { reason: Reason::ContinueAuthentication, properties: auth(proof) }));
    assert!(matches!(host.next(link), Packet::ConnAck(connack) if connack.reason == Reason::Success));
}
