//! `simrun --real`: a broker on a real port, and with a SCENARIO all of it in real time.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::run::{breaches, failures, load, title, verdicts, watched, write_traces};
use super::{FAILED, Profile, RealArguments, RunArguments, say, wrong};
use crate::broker::Config;
use crate::live::{self, Listen, Played, Terms, Transport, log};
use crate::report::terminal::{self, Terminal};
use crate::scenario::{self, Loaded, setup};
use crate::sim;

/// The port that MQTT has by registration, and the one that Apollo uses.
const MQTT_PORT: u16 = 1883;
const APOLLO_PORT: u16 = 61613;
/// The port of Apollo's page.
const APOLLO_PAGE_PORT: u16 = 61680;

/// How much later than a scenario demands something may be, in real time: clocks and schedulers are no better.
const GRACE: Duration = Duration::from_millis(250);

/// Runs the scenario, or serves where none is named.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    match &arguments.scenario {
        Some(path) => play(arguments, path),
        None if arguments.seed.is_some() || !arguments.output.is_empty() => {
            wrong("error: --seed and --output are about a scenario; write simrun --real SCENARIO, or leave them out")
        }
        None => serve(&arguments.real),
    }
}

/// Runs a scenario on real sockets, and says what happens as it does.
fn play(arguments: &RunArguments, path: &Path) -> ExitCode {
    let loaded = match load(path, &arguments.output) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let broker = &loaded.scenario.broker;
    let terms = Terms {
        address: arguments.real.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, setup::port(broker)))),
        seed: arguments.seed.unwrap_or(loaded.scenario.seed),
        speed: arguments.real.speed,
    };
    let config = setup::broker(broker, terms.seed);
    if let Some(exit) = open_to_all(terms.address, &config) {
        return exit;
    }
    let terminal = Terminal::new(&sim::names(&loaded.scenario), arguments.verbose);
    let ready = |address| {
        let listen = Listen { transport: Transport::Tcp, address };
        say(&format!("{}\n{}", greeting(&[listen], &config), title(&loaded)));
    };
    let watch = |event: &_| {
        if let Some(line) = terminal.line(event, None) {
            say(&format!("{line}\n"));
        }
    };
    let played = match live::play(&loaded.scenario, terms, ready, watch) {
        Ok(played) => played,
        Err(error) => return wrong(format_args!("error: {error}")),
    };
    if let Err(exit) = write_traces(&arguments.output, &played.trace) {
        return exit;
    }
    conclude(&loaded, path, terms, &played)
}

/// How the run went. One that was interrupted did not hold; but what was due until then is judged.
fn conclude(loaded: &Loaded, path: &Path, terms: Terms, played: &Played) -> ExitCode {
    let grace = GRACE.mul_f64(terms.speed);
    // What an interruption itself brought about is not the scenario's.
    let length = played.trace.partition_point(|event| event.time <= played.ended);
    let all = scenario::judge_with_grace(&loaded.scenario, &played.trace[..length], grace);
    let due = |verdict: &scenario::Verdict| match verdict.by {
        Some(by) => by <= played.ended,
        None => !verdict.held,
    };
    let (judged, open): (Vec<_>, Vec<_>) = all.into_iter().partition(|verdict| !played.interrupted || due(verdict));
    let mut text = if judged.is_empty() && played.interrupted { "\n".to_owned() } else { verdicts(&judged) };
    let findings = sim::watch(&loaded.scenario, &played.trace[..length]);
    if played.interrupted {
        let open = match open.len() {
            0 => String::new(),
            count => format!("; {count} expectations are not judged"),
        };
        let _ = writeln!(text, "{}", terminal::bad(&format!("interrupted{open}")));
    } else {
        text.push_str(&watched(&findings, &played.trace));
    }
    let _ = writeln!(
        text,
        "{} on real sockets in {} · {} packets · seed {} · each `by` had {} more",
        terminal::Seconds(played.ended.since_start()),
        terminal::Seconds(played.ended.since_start().div_f64(terms.speed)),
        played.packets,
        terms.seed,
        terminal::Seconds(grace),
    );
    let held = failures(&judged) + breaches(&findings) == 0 && !played.interrupted;
    if !held {
        let _ = writeln!(text, "in simulated time: simrun {} --seed {} -v", path.display(), terms.seed);
    }
    say(&text);
    ExitCode::from(if held { 0 } else { FAILED })
}

/// Serves until it is told to stop.
fn serve(arguments: &RealArguments) -> ExitCode {
    let (mut config, port) = match arguments.profile {
        Some(Profile::Apollo) => (Config::apollo(), APOLLO_PORT),
        None => (Config::default(), MQTT_PORT),
    };
    for user in &arguments.user {
        let Some((name, password)) = user.split_once(':') else {
            return wrong(format_args!("error: --user {user}: there is no colon; write --user NAME:PASSWORD"));
        };
        config.users.insert(name.to_owned(), password.into());
        config.anonymous = false;
    }
    let address = arguments.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut listens = vec![Listen { transport: Transport::Tcp, address }];
    listens.extend(arguments.ws.map(|address| Listen { transport: Transport::WebSocket, address }));
    // The profile's page comes with the profile's port.
    let page = arguments.profile.filter(|_| arguments.listen.is_none());
    let page = page.map(|Profile::Apollo| SocketAddr::from((Ipv4Addr::LOCALHOST, APOLLO_PAGE_PORT)));
    let page = arguments.web.or(page);
    listens.extend(page.map(|address| Listen { transport: Transport::Page, address }));
    let level = log::Level::from(arguments.log_level);
    config.notices = level.notices();
    config.sys_interval = (arguments.sys_interval > 0).then(|| Duration::from_secs(arguments.sys_interval));
    if let Some(exit) = listens.iter().find_map(|listen| open_to_all(listen.address, &config)) {
        return exit;
    }
    log::begin(arguments.log.map(log::Form::from), level);
    let data = arguments.data.as_deref();
    match live::serve(config.clone(), &listens, data, |local| say(&greeting(local, &config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => wrong(format_args!("error: {error}")),
    }
}

/// Says what is wrong where strangers on other machines could connect without a password.
fn open_to_all(address: SocketAddr, config: &Config) -> Option<ExitCode> {
    let open = !address.ip().is_loopback() && config.anonymous;
    open.then(|| {
        wrong(format_args!(
            "error: {address} can be reached from other machines, and anyone could connect; add --user NAME:PASSWORD, or \
             listen on 127.0.0.1 (a scenario says `users` under `broker`)"
        ))
    })
}

/// What is listening, and how to reach it.
fn greeting(local: &[Listen], config: &Config) -> String {
    let who = match config.users.keys().next() {
        Some(user) => format!(" -u {user} -P …"),
        None => String::new(),
    };
    let access = match config.users.len() {
        0 => "anyone who reaches it may connect, without a password".to_owned(),
        1 => format!("user {}", config.users.keys().next().map_or("", String::as_str)),
        n => format!("{n} users"),
    };
    let urls: Vec<String> = local.iter().map(url).collect();
    let reach = local.first().map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, MQTT_PORT)), |listen| listen.address);
    let (host, port) = (reach.ip(), reach.port());
    format!(
        "simrun: listening on {} (MQTT 3.1.1 and 5.0; {access}); Ctrl-C stops it\n\
         \x20 mosquitto_sub -h {host} -p {port}{who} -t '#' -v\n\
         \x20 mosquitto_pub -h {host} -p {port}{who} -t hello -m world\n",
        urls.join(" and ")
    )
}

fn url(listen: &Listen) -> String {
    let path = match listen.transport {
        Transport::Tcp => "",
        Transport::Page => "/",
        Transport::WebSocket => "/mqtt",
    };
    format!("{}://{}{path}", listen.transport.scheme(), listen.address)
}
