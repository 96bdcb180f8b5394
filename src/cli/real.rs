//! `simrun --real`: a broker on a real port, and with a SCENARIO all of it in real time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::run::{breaches, failures, load, title, verdicts, watched, write_traces};
use super::{FAILED, Profile, RealArguments, RunArguments, complain, say, wrong};
use crate::broker::Config;
use crate::live::config::{BrokerFile, Layers, ListenAddress, Listener, Settings, TlsFiles};
use crate::live::dial::Scheme;
use crate::live::tls::{Clients, Development, Identity, Tls};
use crate::live::{self, Listen, Played, Terms, Transport, log, log::Level};
use crate::notation::scalar::from_word;
use crate::notation::units::Span;
use crate::report::terminal::{self, Terminal};
use crate::scenario::{self, Loaded, setup};
use crate::sim;

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
    let address = match arguments.real.listen.as_slice() {
        [] => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, setup::port(broker)))),
        [text] => listener(text).map(|listener| listener.url).and_then(|url| match url.scheme {
            Scheme::Mqtt => Ok(url.address),
            _ => Err(format!("error: --listen {text}: a scenario's broker speaks plain TCP; write mqtt://")),
        }),
        _ => Err("error: a scenario's broker has one --listen".to_owned()),
    };
    let address = match address {
        Ok(address) => address,
        Err(what) => return wrong(what),
    };
    let terms = Terms { address, seed: arguments.seed.unwrap_or(loaded.scenario.seed), speed: arguments.real.speed };
    let config = setup::broker(broker, terms.seed);
    if let Err(what) = closed_to_strangers(terms.address, &config) {
        return wrong(what);
    }
    let terminal = Terminal::new(&sim::names(&loaded.scenario), arguments.verbose);
    let ready = |address| {
        let listen = Listen::new(Transport::Tcp, address);
        say(&format!("{}\n{}", greeting(&[listen], &config, None), title(&loaded)));
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
    let served = serve_or_say(arguments);
    log::catch_up();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => wrong(what),
    }
}

fn serve_or_say(arguments: &RealArguments) -> Result<(), String> {
    let error = |what: &dyn std::fmt::Display| format!("error: {what}");
    let layers = layers(arguments)?;
    let settings = layers.settings().map_err(|what| error(&what))?;
    if arguments.print_config {
        say(&layers.shown(&settings));
        return Ok(());
    }
    settings.warnings.iter().for_each(|warning| complain(format_args!("warning: {warning}")));
    let development = if settings.tls_dev { Some(Development::new().map_err(|what| error(&what))?) } else { None };
    let mut listens = listens(&settings, development.as_ref())?;
    if settings.tls_dev && listens.iter().all(|listen| listen.tls.is_none()) {
        return Err("error: --tls-dev: nothing listens with TLS; add --listen mqtts://127.0.0.1:8883".to_owned());
    }
    listens.extend(settings.web.map(|address| Listen::new(Transport::Page, address)));
    closed_unless_meant(&listens, &settings)?;
    log::begin(settings.log, settings.log_level);
    let reload = {
        let (arguments, listens, mut running) = (arguments.clone(), listens.clone(), settings.clone());
        move || reload(&arguments, &listens, &mut running)
    };
    let ready_file = settings.ready_file.clone();
    let ready = |local: &[Listen]| {
        say(&greeting(local, &settings.config, development.as_ref()));
        if let Some(path) = &ready_file {
            let lines: String = local.iter().map(|listen| format!("{}\n", listen.url())).collect();
            if let Err(what) = write_at_once(path, &lines) {
                complain(format_args!("warning: {}: {what}", path.display()));
            }
        }
        live::tell_service_manager("READY=1");
    };
    let served = live::serve(settings.config.clone(), &listens, settings.data.as_deref(), reload, ready)
        .map_err(|what| error(&what));
    if let Some(path) = &settings.ready_file {
        // It may never have been there.
        let _ = std::fs::remove_file(path);
    }
    served
}

/// All that is said of the set-up, the later over the earlier: file, environment, flags.
fn layers(arguments: &RealArguments) -> Result<Layers, String> {
    let mut layers = Layers::default();
    let from_environment = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = arguments.config.clone().or_else(|| from_environment("SIMRUN_CONFIG")) {
        layers.file(&path).map_err(|diagnosis| diagnosis.to_string())?;
    }
    let user = std::env::var("SIMRUN_USERNAME").ok().zip(std::env::var("SIMRUN_PASSWORD").ok());
    let users = user.map(|user| [user].into_iter().collect());
    let users_file = from_environment("SIMRUN_USERS");
    layers.environment(BrokerFile { users, users_file, ..BrokerFile::default() });
    for said in &arguments.set {
        layers.set(said).map_err(|diagnosis| diagnosis.to_string())?;
    }
    let mut users = BTreeMap::new();
    for user in &arguments.user {
        match user.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                users.insert(name.to_owned(), password.to_owned());
            }
            _ => return Err("error: --user: write --user NAME:PASSWORD".to_owned()),
        }
    }
    let mut listeners = Vec::new();
    for text in &arguments.listen {
        listeners.push(listener(text)?);
    }
    if let Some(address) = arguments.ws {
        layers.listen_beside(ListenAddress { scheme: Scheme::Ws, address }.into());
    }
    let tls = arguments.tls_cert.clone().zip(arguments.tls_key.clone()).map(|(certificate, key)| TlsFiles {
        certificate,
        key,
        client_authorities: None,
        client_certificate_optional: false,
        user_from_certificate: false,
    });
    layers.flags(BrokerFile {
        profile: arguments.profile.map(|Profile::Apollo| scenario::Profile::Apollo),
        listeners: (!listeners.is_empty()).then_some(listeners),
        tls,
        tls_dev: arguments.tls_dev.then_some(true),
        users: (!users.is_empty()).then(|| users.into_iter().collect()),
        users_file: arguments.users.clone(),
        anonymous: arguments.anonymous.then_some(true),
        data: arguments.data.clone(),
        web: arguments.web,
        log: arguments.log,
        log_level: arguments.log_level,
        sys_interval: arguments.sys_interval.map(Span),
        ready_file: arguments.ready_file.clone(),
        ..BrokerFile::default()
    });
    Ok(layers)
}

fn listener(text: &str) -> Result<Listener, String> {
    from_word::<ListenAddress>(text).map(Listener::from).map_err(|what| format!("error: --listen {text}: {what}"))
}

/// Where it listens, with TLS read from its files.
fn listens(settings: &Settings, development: Option<&Development>) -> Result<Vec<Listen>, String> {
    let made =
        development.map(Development::identity).map(Tls::new).transpose().map_err(|what| format!("error: {what}"))?;
    let listen = |listener: &Listener| {
        let ListenAddress { scheme, address } = listener.url;
        let transport = if scheme.is_websocket() { Transport::WebSocket } else { Transport::Tcp };
        let tls = match (scheme.is_tls(), listener.tls.as_ref().or(settings.tls.as_ref()), &made) {
            (false, ..) => None,
            (true, Some(files), None) => Some(Tls::new(identity(files)?).map_err(|what| format!("error: {what}"))?),
            (true, _, Some(made)) => Some(made.clone()),
            (true, None, None) => {
                let help = "name them with --tls-cert and --tls-key, or let --tls-dev make them for this run";
                return Err(format!("error: {} needs a certificate and its key; {help}", listener.url));
            }
        };
        Ok(Listen { transport, address, tls, door: listener.door() })
    };
    settings.listeners.iter().map(listen).collect()
}

fn identity(files: &TlsFiles) -> Result<Identity, String> {
    let TlsFiles { certificate, key, client_authorities, client_certificate_optional, user_from_certificate } =
        files.clone();
    let clients = client_authorities.map(|authorities| Clients {
        authorities,
        optional: client_certificate_optional,
        name_users: user_from_certificate,
    });
    if clients.is_none() && (client_certificate_optional || user_from_certificate) {
        return Err("error: tls: certificates of clients need `client_authorities`".to_owned());
    }
    Ok(Identity { certificate, key, clients })
}

/// Reads anew who may come in, what they may do, limits, and the certificates. What is wrong is said, and changes nothing.
fn reload(arguments: &RealArguments, listens: &[Listen], running: &mut Settings) -> Option<Config> {
    let read = || {
        let settings = layers(arguments)?.settings().map_err(|what| format!("error: {what}"))?;
        closed_unless_meant(listens, &settings)?;
        for tls in listens.iter().filter_map(|listen| listen.tls.as_ref()) {
            tls.reload().map_err(|what| format!("error: {what}"))?;
        }
        Ok::<Settings, String>(settings)
    };
    match read() {
        Ok(settings) => {
            settings.warnings.iter().for_each(|warning| log::say(Level::Warn, warning, &[]));
            let users = settings.config.users.len();
            let words = format!("users, rules, limits and certificates are read anew ({users} users)");
            log::say(Level::Info, words, &[]);
            let need_restart = running.need_restart(&settings);
            if !need_restart.is_empty() {
                let words = format!("{} changed, which counts from the next start on", need_restart.join(", "));
                log::say(Level::Warn, words, &[]);
            }
            running.config = running.config.renewed(settings.config.clone());
            Some(settings.config)
        }
        Err(what) => {
            let words = format!("{what}; nothing is changed: correct it and send SIGHUP again");
            log::say(Level::Error, words, &[]);
            None
        }
    }
}

/// Says what is wrong where strangers could connect, or use the page, and nobody said that they may.
fn closed_unless_meant(listens: &[Listen], settings: &Settings) -> Result<(), String> {
    for listen in listens {
        let anonymous = listen.door.as_ref().and_then(|door| door.anonymous);
        // The page lets anyone do anything where there are no users, whatever is meant for clients.
        let meant = settings.open_on_purpose && listen.transport != Transport::Page;
        if !meant && anonymous != Some(true) {
            closed_to_strangers(listen.address, &settings.config)?;
        }
    }
    Ok(())
}

/// Says what is wrong where strangers on other machines could connect without a password.
fn closed_to_strangers(address: SocketAddr, config: &Config) -> Result<(), String> {
    if address.ip().is_loopback() || !config.anonymous {
        return Ok(());
    }
    Err(format!(
        "error: {address} can be reached from other machines, and anyone could connect; add --user NAME:PASSWORD or --users \
         FILE, or listen on 127.0.0.1, or mean it with --anonymous (a scenario says `users` under `broker`)"
    ))
}

/// A file that is there whole or not at all.
fn write_at_once(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What is listening, and how to reach it.
fn greeting(local: &[Listen], config: &Config, development: Option<&Development>) -> String {
    let names: Vec<&String> = config.users.keys().collect();
    let access = match names.as_slice() {
        _ if config.anonymous => "anyone who reaches it may connect, without a password".to_owned(),
        [] => "nobody may connect: there are no users".to_owned(),
        [name] => format!("user {name}"),
        names => format!("{} users", names.len()),
    };
    let urls: Vec<String> = local.iter().map(Listen::url).collect();
    let mut text =
        format!("simrun: listening on {} (MQTT 3.1.1 and 5.0; {access}); Ctrl-C stops it\n", urls.join(" and "));
    if let Some(listen) = local.first() {
        let mut reach = listen.clone();
        if reach.address.ip().is_unspecified() {
            reach.address.set_ip(match reach.address.is_ipv4() {
                true => Ipv4Addr::LOCALHOST.into(),
                false => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let who = names.first().filter(|_| !config.anonymous).map_or(String::new(), |name| format!(" -u {name} -P …"));
        let trust = match (development, &reach.tls) {
            (Some(development), Some(_)) => format!(" --cafile {}", development.authority().display()),
            (None, Some(_)) => " --cafile …".to_owned(),
            (_, None) => String::new(),
        };
        let url = reach.url();
        let _ = writeln!(text, "  simrun sub --url {url}{who}{trust} -t '#'");
        let _ = writeln!(text, "  simrun pub --url {url}{who}{trust} -t hello -m world");
    }
    if let Some(development) = development {
        let authority = development.authority();
        let _ = writeln!(
            text,
            "  --tls-dev: the certificate is for localhost and this run; clients trust {}",
            authority.display()
        );
    }
    text
}
