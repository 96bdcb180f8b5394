//! Addresses of brokers, and the way there: what is understood, what is shown, and what is said where nobody answers as
//! hoped.

use simrun::live::dial::{Dialer, Scheme, Trust, Url};

fn url(text: &str) -> Url {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    text.parse::<Url>().expect_err("no address").to_string()
}

#[test]
fn default_ports_and_paths() {
    for (text, scheme, port, path) in [
        ("mqtt://h", Scheme::Mqtt, 1883, ""),
        ("tcp://h/", Scheme::Mqtt, 1883, ""),
        ("mqtts://h", Scheme::Mqtts, 8883, ""),
        ("ssl://h:1", Scheme::Mqtts, 1, ""),
        ("tls://h", Scheme::Mqtts, 8883, ""),
        ("MQTT://h", Scheme::Mqtt, 1883, ""),
        ("ws://h", Scheme::Ws, 80, "/mqtt"),
        ("ws://h/", Scheme::Ws, 80, "/"),
        ("ws://h:9001/a/b?key=c", Scheme::Ws, 9001, "/a/b?key=c"),
        ("wss://h", Scheme::Wss, 443, "/mqtt"),
    ] {
        let url = url(text);
        assert_eq!((url.scheme, url.port, url.path.as_str()), (scheme, port, path), "{text}");
        assert_eq!((url.host.as_str(), url.username), ("h", None), "{text}");
    }
}

#[test]
fn hosts_of_every_kind() {
    for (text, host, shown) in [
        ("mqtt://localhost", "localhost", "mqtt://localhost:1883"),
        ("mqtt://127.0.0.1:9", "127.0.0.1", "mqtt://127.0.0.1:9"),
        ("mqtt://[::1]", "::1", "mqtt://[::1]:1883"),
        ("mqtts://[fe80::1]:2", "fe80::1", "mqtts://[fe80::1]:2"),
        ("ws://u:p@[::1]:3/x", "::1", "ws://[::1]:3/x"),
    ] {
        let url = url(text);
        assert_eq!((url.host.as_str(), url.to_string().as_str()), (host, shown), "{text}");
        assert_eq!(self::url(shown).to_string(), shown);
    }
}

#[test]
fn credentials_are_percent_decoded() {
    let who = |text| {
        let url = url(text);
        (url.username, url.password)
    };
    let both = |user: &str, password: &str| (Some(user.to_owned()), Some(password.to_owned()));
    assert_eq!(who("mqtt://ada:lovelace@h"), both("ada", "lovelace"));
    assert_eq!(who("mqtt://a%40b:c%3Ad%2F%E7%81%AF@h"), both("a@b", "c:d/灯"));
    assert_eq!(who("mqtt://ada:@h"), both("ada", ""));
    assert_eq!(who("mqtt://ada:a:b@h"), both("ada", "a:b"));
    assert_eq!(who("mqtt://ada@h"), (Some("ada".to_owned()), None));
}

#[test]
fn a_password_is_never_shown() {
    let url = url("mqtt://ada:lovelace@h");
    assert_eq!(format!("{url} {url:?}"), "mqtt://h:1883 mqtt://h:1883");
    for text in ["mqtt://ada:lovelace@h:99999", "moquette://ada:lovelace@h", "mqtt://ada:love lace@h"] {
        let why = refused(text);
        assert!(!why.contains("love"), "{why}");
    }
}

#[test]
fn what_is_no_address_is_said_to_be_none() {
    for (text, why) in [
        ("localhost:1883", "it has no scheme"),
        ("http://h", "its scheme is not known"),
        ("mqtt://", "percent-encoded"),
        ("mqtt://:1883", "it has no host"),
        ("mqtt://h:", "its port is not a number"),
        ("mqtt://h:0", "its port is not a number"),
        ("mqtt://h:65536", "its port is not a number"),
        ("mqtt://h:port", "its port is not a number"),
        ("mqtt://h/topic", "only ws and wss have a path"),
        ("mqtt://%ff@h", "not UTF-8"),
    ] {
        let said = refused(text);
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn files_that_cannot_be_used_for_tls_are_named() {
    let file = std::env::temp_dir().join(format!("simrun-dialling-{}.pem", std::process::id()));
    std::fs::write(&file, "no certificate").expect("written");
    let missing = file.with_extension("gone");
    let said = |trust: Trust| {
        let dialer = Dialer::new(trust);
        dialer.prepare(&url("mqtt://h")).expect("TCP needs none of it");
        dialer.prepare(&url("wss://h")).expect_err("unusable").to_string()
    };
    let why = said(Trust { authorities: Some(file.clone()), ..Trust::default() });
    assert!(why.contains(".pem: there is no certificate in it"), "{why}");
    let why = said(Trust { authorities: Some(missing.clone()), ..Trust::default() });
    assert!(why.contains(".gone: No such file"), "{why}");
    let why = said(Trust { identity: Some((file.clone(), missing)), insecure: true, ..Trust::default() });
    assert!(why.contains(".pem: there is no certificate in it"), "{why}");
    std::fs::remove_file(file).expect("removed");
}
