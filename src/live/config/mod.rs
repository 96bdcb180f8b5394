//! How a broker on real sockets is set up: from its defaults, a profile, a file, the environment and flags, the later ones
//! over the earlier, with a note of where each value came from.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the layers, and what comes of them |
//! | `model` | what a file says, and its JSON Schema |

mod model;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::generate::SchemaSettings;

use super::users::{self, UsersError};
use crate::broker::{AccessRule, Config, Credential, Door};
use crate::codec::Text;
use crate::notation::Diagnosis;
use crate::notation::locate::Place;
use crate::notation::read::{Genre, Problem, contents, document, problem};
use crate::notation::scalar::suggestion;
use crate::scenario::Profile;
use crate::topic::TopicFilter;

pub use model::{BrokerFile, Deed, Limits, ListenAddress, Listener, Rule, Size, TlsFiles};

const GENRE: Genre = Genre {
    noun: "configuration",
    empty: "simrun --real --print-config shows what could stand in it",
    other: "a configuration begins with `listeners:` and the like; simrun --real --print-config shows one",
    shorter: "put users into a file of their own, with `users_file`",
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    Environment,
    Flag,
}

/// What one source says.
#[derive(Clone, Debug)]
struct Layer {
    origin: Origin,
    file: BrokerFile,
    /// The text it was read from.
    text: String,
}

/// What all sources say, the later over the earlier.
#[derive(Clone, Debug, Default)]
pub struct Layers(Vec<Layer>);

/// A broker's set-up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the broker is made with; users and rules among it.
    pub config: Config,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// TLS of listeners that have none of their own.
    pub tls: Option<TlsFiles>,
    /// The file to write once clients can connect.
    pub ready_file: Option<PathBuf>,
    /// Whether it was said that clients may come without a user name.
    pub open_on_purpose: bool,
    /// What ought to be looked after, in words.
    pub warnings: Vec<String>,
}

impl Layers {
    /// Adds a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn file(&mut self, path: &Path) -> Result<(), Box<Diagnosis>> {
        let name = path.display().to_string();
        let bytes = contents(path, &GENRE)?;
        let (mut file, text) = parse(&name, &bytes)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        rebase(&mut file, folder);
        self.0.push(Layer { origin: Origin::File(path.to_owned()), file, text: text.to_owned() });
        Ok(())
    }

    /// Adds `KEY=VALUE` as a flag says it: `limits.connections=100`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn set(&mut self, said: &str) -> Result<(), Box<Diagnosis>> {
        let name = format!("--set {said}");
        let Some((key, value)) = said.split_once('=') else {
            let (what, help) =
                ("there is no = in it".to_owned(), Some("write KEY=VALUE, as limits.connections=100".to_owned()));
            return Err(Diagnosis { file: name, place: None, what, help }.into());
        };
        let mut text = String::new();
        for (depth, part) in key.split('.').enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{}{}{part}:", if depth > 0 { "\n" } else { "" }, "  ".repeat(depth));
        }
        let text = format!("{text} {value}\n");
        let (file, _) = parse(&name, text.as_bytes())?;
        self.0.push(Layer { origin: Origin::Flag, file, text: String::new() });
        Ok(())
    }

    /// Adds what flags of their own say.
    pub fn flags(&mut self, file: BrokerFile) {
        self.0.push(Layer { origin: Origin::Flag, file, text: String::new() });
    }

    /// Adds what the environment says.
    pub fn environment(&mut self, file: BrokerFile) {
        self.0.push(Layer { origin: Origin::Environment, file, text: String::new() });
    }

    /// The last of the layers that says something of a kind.
    fn last<T>(&self, of: impl Fn(&BrokerFile) -> Option<&T>) -> Option<(&Layer, &T)> {
        self.0.iter().rev().find_map(|layer| of(&layer.file).map(|found| (layer, found)))
    }

    /// What comes of them; the files that they name are read.
    ///
    /// # Errors
    /// If a file of users cannot be used, or nobody could come in.
    pub fn settings(&self) -> Result<Settings, UsersError> {
        let profile = self.last(|file| file.profile.as_ref()).map(|(_, profile)| *profile);
        let mut config = match profile {
            Some(Profile::Apollo) => Config::apollo(),
            None => Config::default(),
        };
        for layer in &self.0 {
            layer.file.limits.apply(&mut config);
        }
        let mut warnings = Vec::new();
        let mut named: BTreeMap<String, Credential> = BTreeMap::new();
        let mut says_users = false;
        if let Some((_, path)) = self.last(|file| file.users_file.as_ref()) {
            says_users = true;
            named.extend(users::read(path)?);
            if users::is_world_readable(path) {
                warnings.push(format!("{0} can be read by everyone on this machine: chmod o-r {0}", path.display()));
            }
        }
        for layer in &self.0 {
            for (name, password) in layer.file.users.iter().flat_map(|users| users.iter()) {
                says_users = true;
                named.insert(name.to_owned(), password.as_str().into());
            }
        }
        if says_users {
            // The users of a profile are known to everyone.
            config.users = named;
        }
        let anonymous = self.last(|file| file.anonymous.as_ref()).map(|(_, anonymous)| *anonymous);
        config.anonymous = anonymous.unwrap_or(config.users.is_empty());
        if let Some((_, rules)) = self.last(|file| file.access.as_ref()) {
            config.access = rules.iter().filter_map(access_rule).collect();
        }
        let port = if profile == Some(Profile::Apollo) { 61613 } else { 1883 };
        let default = || {
            let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
            vec![ListenAddress { scheme: super::dial::Scheme::Mqtt, address }.into()]
        };
        Ok(Settings {
            listeners: self.last(|file| file.listeners.as_ref()).map_or_else(default, |(_, all)| all.clone()),
            tls: self.last(|file| file.tls.as_ref()).map(|(_, tls)| tls.clone()),
            ready_file: self.last(|file| file.ready_file.as_ref()).map(|(_, path)| path.clone()),
            open_on_purpose: anonymous == Some(true),
            config,
            warnings,
        })
    }

    /// The whole set-up as a configuration file, with where each value came from. Passwords are left out.
    pub fn shown(&self, settings: &Settings) -> String {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut line = |text: String, key: &[&str], says: &dyn Fn(&BrokerFile) -> bool| {
            lines.push((text, self.origin(key, says)));
        };
        let profile = self.last(|file| file.profile.as_ref());
        if profile.is_some() {
            line("profile: apollo".to_owned(), &["profile"], &|file: &BrokerFile| file.profile.is_some());
        }
        let quoted = |text: &dyn fmt::Display| serde_json::Value::from(text.to_string()).to_string();
        let listeners: Vec<String> = settings.listeners.iter().map(|listener| quoted(&listener.url)).collect();
        line(format!("listeners: [{}]", listeners.join(", ")), &["listeners"], &|file: &BrokerFile| {
            file.listeners.is_some()
        });
        if let Some(tls) = &settings.tls {
            let (certificate, key) = (quoted(&tls.certificate.display()), quoted(&tls.key.display()));
            line(format!("tls: {{ certificate: {certificate}, key: {key} }}"), &["tls"], &|file: &BrokerFile| {
                file.tls.is_some()
            });
        }
        if let Some((_, path)) = self.last(|file| file.users_file.as_ref()) {
            line(format!("users_file: {}", quoted(&path.display())), &["users_file"], &|file: &BrokerFile| {
                file.users_file.is_some()
            });
        }
        let plain =
            settings.config.users.iter().filter(|(_, credential)| matches!(credential, Credential::Password(_)));
        let plain: Vec<String> = plain.map(|(name, _)| format!("{}: \"…\"", quoted(name))).collect();
        if !plain.is_empty() {
            let text = format!("users: {{ {} }}", plain.join(", "));
            let said = self.0.iter().any(|layer| layer.file.users.is_some());
            if said || profile.is_none() {
                line(text, &["users"], &|file: &BrokerFile| file.users.is_some());
            } else {
                line(text, &["profile"], &|file: &BrokerFile| file.profile.is_some());
            }
        }
        line(format!("anonymous: {}", settings.config.anonymous), &["anonymous"], &|file: &BrokerFile| {
            file.anonymous.is_some()
        });
        let rules = settings.config.access.len();
        line(format!("# access: {rules} rules"), &["access"], &|file: &BrokerFile| file.access.is_some());
        if let Some(path) = &settings.ready_file {
            line(format!("ready_file: {}", quoted(&path.display())), &["ready_file"], &|file: &BrokerFile| {
                file.ready_file.is_some()
            });
        }
        lines.push(("limits:".to_owned(), String::new()));
        for (key, value) in Limits::shown(&settings.config) {
            lines.push((
                format!("  {key}: {value}"),
                self.origin(&["limits", key], &|file: &BrokerFile| file.limits.says(key)),
            ));
        }
        let width = lines.iter().map(|(text, _)| text.chars().count()).filter(|width| *width < 60).max().unwrap_or(0);
        let padded = |(text, origin): &(String, String)| match origin.as_str() {
            "" => format!("{text}\n"),
            origin => format!("{text:width$}  # {origin}\n"),
        };
        lines.iter().map(padded).collect()
    }

    /// Where the value of a key came from, in words.
    fn origin(&self, key: &[&str], says: &dyn Fn(&BrokerFile) -> bool) -> String {
        let Some(layer) = self.0.iter().rev().find(|layer| says(&layer.file)) else { return "default".to_owned() };
        match &layer.origin {
            Origin::Environment => "environment".to_owned(),
            Origin::Flag => "flag".to_owned(),
            Origin::File(path) => {
                let place = key.iter().fold(Place::default(), |place, part| place.key(*part)).on_key();
                format!("{}:{}", path.display(), place.find(&layer.text).0)
            }
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.address)
    }
}

impl Listener {
    /// What is asked of those who come by it, where that is not what is asked of everyone.
    pub fn door(&self) -> Option<Arc<Door>> {
        let users = self.users.as_ref().map(|users| users.iter().cloned().collect());
        let door = Door { anonymous: self.anonymous, users };
        (door != Door::default()).then(|| Arc::new(door))
    }
}

/// Reads a configuration from the bytes of a file called `name` and checks it.
fn parse<'a>(name: &str, bytes: &'a [u8]) -> Result<(BrokerFile, &'a str), Box<Diagnosis>> {
    let (file, text): (BrokerFile, &str) = document(name, bytes, &GENRE)?;
    check(&file).map_err(|problem| problem.diagnosis(name, text))?;
    Ok((file, text))
}

/// What no type can refuse.
fn check(file: &BrokerFile) -> Result<(), Problem> {
    let root = Place::default();
    for (name, password) in file.users.iter().flat_map(|users| users.iter()) {
        let here = root.key("users").key(name);
        if name.is_empty() || Text::try_from(name).is_err() {
            return Err(problem(here.on_key(), format!("`{name}` cannot be a user's name"), "MQTT could not carry it"));
        }
        if password.is_empty() {
            return Err(problem(here, "the password is empty", "leave the user out, or give it a password"));
        }
    }
    for (number, rule) in file.access.iter().flatten().enumerate() {
        let here = root.key("access").item(number);
        match (&rule.allow, &rule.deny) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err(problem(here, "a rule either allows or denies", "write allow: publish, or deny: all")),
        }
        if let Some(topic) = &rule.topic
            && let Err(error) = TopicFilter::try_from(topic.as_str())
        {
            let help = "wildcards stand alone in their level, `#` in the last: light/+/state, light/#";
            return Err(problem(here.key("topic"), format!("`{topic}` is no topic filter: {error}"), help));
        }
    }
    for (number, listener) in file.listeners.iter().flatten().enumerate() {
        let here = root.key("listeners").item(number);
        if listener.tls.is_some() && !listener.url.scheme.is_tls() {
            let help = "listen on mqtts:// or wss://";
            return Err(problem(here.key("tls").on_key(), format!("{} has no TLS", listener.url), help));
        }
        let known: Option<Vec<&str>> =
            file.users.as_ref().filter(|_| file.users_file.is_none()).map(|users| users.names().collect());
        for user in listener.users.iter().flatten() {
            if let Some(known) = &known
                && !known.contains(&user.as_str())
            {
                let help = suggestion(user, known.iter().copied());
                return Err(problem(here.key("users"), format!("there is no user `{user}`"), help));
            }
        }
    }
    let limits = root.key("limits");
    let at_least_one = [
        ("connections", file.limits.connections),
        ("connections_per_address", file.limits.connections_per_address),
        ("filter_levels", file.limits.filter_levels.map(u32::from)),
        ("receive_maximum", file.limits.receive_maximum.map(u32::from)),
    ];
    for (key, number) in at_least_one {
        if number == Some(0) {
            return Err(problem(limits.key(key), "0 cannot stand here", "it is 1 or more"));
        }
    }
    if file.limits.packet_size.is_some_and(|size| size.0 < 64 || u32::try_from(size.0).is_err()) {
        return Err(problem(limits.key("packet_size"), "no packets have such a size", "it is from 64 to 256MiB"));
    }
    Ok(())
}

fn access_rule(rule: &Rule) -> Option<AccessRule> {
    let filter = rule.topic.as_deref().map(TopicFilter::try_from).transpose().ok()?;
    let Deed(action) = rule.allow.or(rule.deny)?;
    let (user, client_id) = (rule.user.clone(), rule.client_id.clone());
    Some(AccessRule { user, client_id, action, filter, allow: rule.allow.is_some() })
}

/// Files are named as seen from the configuration.
fn rebase(file: &mut BrokerFile, folder: &Path) {
    let from = |path: &mut PathBuf| *path = folder.join(&*path);
    let tls = |tls: &mut TlsFiles| {
        from(&mut tls.certificate);
        from(&mut tls.key);
        tls.client_authorities.iter_mut().for_each(from);
    };
    file.users_file.iter_mut().chain(file.ready_file.iter_mut()).for_each(from);
    file.tls.iter_mut().for_each(tls);
    file.listeners.iter_mut().flatten().filter_map(|listener| listener.tls.as_mut()).for_each(tls);
}

/// The JSON Schema (draft 7, which editors read) of a configuration.
pub fn schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<BrokerFile>();
    schema.insert("title".to_owned(), "A configuration of simrun --real".into());
    schema.to_value()
}
