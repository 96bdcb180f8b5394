//! How a broker on real sockets is set up: from its defaults, a profile, a file, the environment and flags, the later ones
//! over the earlier, with a note of where each value came from. What a running broker does not read anew is known too.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the layers, and what comes of them |
//! | `model` | what a file says, and its JSON Schema |

mod model;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::generate::SchemaSettings;

use super::dial::Scheme;
use super::log::{Form, Level};
use super::users::{self, UsersError};
use crate::broker::{AccessRule, Config, Credential, Door};
use crate::codec::Text;
use crate::notation::Diagnosis;
use crate::notation::locate::Place;
use crate::notation::read::{Genre, Problem, contents, document, problem};
use crate::notation::scalar::suggestion;
use crate::notation::units::Span;
use crate::scenario::Profile;
use crate::topic::TopicFilter;

pub use model::{BrokerFile, Deed, Limits, ListenAddress, Listener, PageAddress, Rule, Size, TlsFiles};

/// The ports of a broker, and of the profile's broker and its page.
const PORT: u16 = 1883;
const APOLLO_PORT: u16 = 61613;
const APOLLO_PAGE_PORT: u16 = 61680;
/// How often the broker says what it counts.
const SYS_INTERVAL: Duration = Duration::from_secs(10);

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
pub struct Layers {
    layers: Vec<Layer>,
    /// Listeners besides those.
    beside: Vec<Listener>,
}

/// A broker's set-up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it began with.
    pub profile: Option<Profile>,
    /// What the broker is made with; users and rules among it.
    pub config: Config,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// TLS of listeners that have none of their own.
    pub tls: Option<TlsFiles>,
    /// Whether listeners with TLS have a certificate that is made for this run.
    pub tls_dev: bool,
    /// The file that users came from.
    pub users_file: Option<PathBuf>,
    /// The rules as they were written.
    pub access: Vec<Rule>,
    /// The directory for what must outlive the process.
    pub data: Option<PathBuf>,
    /// Where the page is served.
    pub web: Option<SocketAddr>,
    /// How the log looks; `None` where standard error decides.
    pub log: Option<Form>,
    /// How much is logged.
    pub log_level: Level,
    /// The file to write once clients can connect.
    pub ready_file: Option<PathBuf>,
    /// Whether it was said that clients may come without a user name.
    pub open_on_purpose: bool,
    /// What ought to be looked after, in words.
    pub warnings: Vec<String>,
}

/// A key of the file: its name, whether a file says it, and what it is in a set-up, as it is written.
type Key = (&'static str, fn(&BrokerFile) -> bool, fn(&Settings) -> String);

/// Declares [`KEYS`].
macro_rules! keys {
    ($($key:ident: $shown:expr;)*) => {
        /// Every key of the file but `limits`, whose own are known to [`Limits`].
        const KEYS: &[Key] = &[$((stringify!($key), |file| file.$key.is_some(), $shown)),*];
    };
}

keys! {
    profile: |settings| json(&settings.profile.map(|Profile::Apollo| "apollo"));
    listeners: |settings| json(&settings.listeners);
    tls: |settings| json(&settings.tls);
    tls_dev: |settings| json(&settings.tls_dev);
    users: |settings| json(&settings.plain_users());
    users_file: |settings| json(&settings.users_file);
    anonymous: |settings| json(&settings.config.anonymous);
    access: |settings| json(&settings.access);
    data: |settings| json(&settings.data);
    web: |settings| PageAddress(settings.web).to_string();
    log: |settings| json(&settings.log.map(model::name_of));
    log_level: |settings| json(&model::name_of(settings.log_level));
    sys_interval: |settings| Span(settings.config.sys_interval.unwrap_or_default()).to_string();
    ready_file: |settings| json(&settings.ready_file);
}

/// The keys that count at the start alone.
const AT_START: [&str; 9] =
    ["listeners", "tls", "tls_dev", "data", "web", "log", "log_level", "sys_interval", "ready_file"];

/// A value as JSON, which is YAML too.
fn json(value: &impl serde::Serialize) -> String {
    // Only a path that is no text cannot be written so.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
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
        self.layers.push(Layer { origin: Origin::File(path.to_owned()), file, text: text.to_owned() });
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
        self.layers.push(Layer { origin: Origin::Flag, file, text: String::new() });
        Ok(())
    }

    /// Adds what flags of their own say.
    pub fn flags(&mut self, file: BrokerFile) {
        self.layers.push(Layer { origin: Origin::Flag, file, text: String::new() });
    }

    /// Adds what the environment says.
    pub fn environment(&mut self, file: BrokerFile) {
        self.layers.push(Layer { origin: Origin::Environment, file, text: String::new() });
    }

    /// Adds a listener besides those that are named, or those of the default.
    pub fn listen_beside(&mut self, listener: Listener) {
        self.beside.push(listener);
    }

    /// What the last of the layers says that says something of a kind.
    fn last<T>(&self, of: impl Fn(&BrokerFile) -> Option<&T>) -> Option<&T> {
        self.layers.iter().rev().find_map(|layer| of(&layer.file))
    }

    /// What comes of them; the files that they name are read.
    ///
    /// # Errors
    /// If a file of users cannot be used, or nobody could come in.
    pub fn settings(&self) -> Result<Settings, UsersError> {
        let profile = self.last(|file| file.profile.as_ref()).copied();
        let mut config = match profile {
            Some(Profile::Apollo) => Config::apollo(),
            None => Config::default(),
        };
        for layer in &self.layers {
            layer.file.limits.apply(&mut config);
        }
        let mut warnings = Vec::new();
        let mut named: BTreeMap<String, Credential> = BTreeMap::new();
        let mut says_users = false;
        let users_file = self.last(|file| file.users_file.as_ref());
        if let Some(path) = users_file {
            says_users = true;
            named.extend(users::read(path)?);
            if users::is_world_readable(path) {
                warnings.push(format!("{0} can be read by everyone on this machine: chmod o-r {0}", path.display()));
            }
        }
        for layer in &self.layers {
            for (name, password) in layer.file.users.iter().flat_map(|users| users.iter()) {
                says_users = true;
                named.insert(name.to_owned(), password.as_str().into());
            }
        }
        if says_users {
            // The users of a profile are known to everyone.
            config.users = named;
        }
        let anonymous = self.last(|file| file.anonymous.as_ref());
        config.anonymous = anonymous.copied().unwrap_or(config.users.is_empty());
        let access = self.last(|file| file.access.as_ref()).cloned().unwrap_or_default();
        config.access = access.iter().filter_map(access_rule).collect();
        let log_level = self.last(|file| file.log_level.as_ref()).copied().unwrap_or_default();
        config.notices = log_level.notices();
        let interval = self.last(|file| file.sys_interval.as_ref()).map_or(SYS_INTERVAL, |span| span.0);
        config.sys_interval = (!interval.is_zero()).then_some(interval);
        let (listeners, page) = self.addresses(profile);
        Ok(Settings {
            profile,
            listeners,
            tls: self.last(|file| file.tls.as_ref()).cloned(),
            tls_dev: self.last(|file| file.tls_dev.as_ref()).copied().unwrap_or(false),
            users_file: users_file.cloned(),
            access,
            data: self.last(|file| file.data.as_ref()).cloned(),
            web: page,
            log: self.last(|file| file.log.as_ref()).copied(),
            log_level,
            ready_file: self.last(|file| file.ready_file.as_ref()).cloned(),
            open_on_purpose: anonymous == Some(&true),
            config,
            warnings,
        })
    }

    /// Where it listens, and where the page is served. The profile's page comes with the profile's port: whoever moves
    /// one by a flag does not mean the other to be where it was.
    fn addresses(&self, profile: Option<Profile>) -> (Vec<Listener>, Option<SocketAddr>) {
        let loopback = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let port = if profile.is_some() { APOLLO_PORT } else { PORT };
        let default = || vec![ListenAddress { scheme: Scheme::Mqtt, address: loopback(port) }.into()];
        let mut listeners = self.last(|file| file.listeners.as_ref()).cloned().unwrap_or_else(default);
        listeners.extend(self.beside.iter().cloned());
        let moved = self.layers.iter().any(|layer| layer.origin == Origin::Flag && layer.file.listeners.is_some());
        let page = match self.last(|file| file.web.as_ref()) {
            Some(PageAddress(page)) => *page,
            None => profile.filter(|_| !moved).map(|_| loopback(APOLLO_PAGE_PORT)),
        };
        (listeners, page)
    }

    /// The whole set-up as a configuration file, with where each value came from. Passwords are left out.
    pub fn shown(&self, settings: &Settings) -> String {
        let mut lines: Vec<(String, String)> = Vec::new();
        for (key, says, shown) in KEYS {
            let origin = match *key {
                "listeners" if !self.beside.is_empty() => "flag".to_owned(),
                _ => self.origin(&[key], says, settings),
            };
            lines.push((format!("{key}: {}", shown(settings)), origin));
        }
        lines.push(("limits:".to_owned(), String::new()));
        for (key, value) in Limits::shown(&settings.config) {
            let origin = self.origin(&["limits", key], &|file| file.limits.says(key), settings);
            lines.push((format!("  {key}: {value}"), origin));
        }
        let width = lines.iter().map(|(text, _)| text.chars().count()).filter(|width| *width < 60).max().unwrap_or(0);
        let padded = |(text, origin): &(String, String)| match origin.as_str() {
            "" => format!("{text}\n"),
            origin => format!("{text:width$}  # {origin}\n"),
        };
        lines.iter().map(padded).collect()
    }

    /// Where the value of a key came from, in words.
    fn origin(&self, key: &[&str], says: &dyn Fn(&BrokerFile) -> bool, settings: &Settings) -> String {
        let Some(layer) = self.layers.iter().rev().find(|layer| says(&layer.file)) else {
            let of_profile = match *key {
                ["listeners" | "users"] => settings.profile.is_some(),
                ["web"] => settings.web.is_some(),
                _ => false,
            };
            return if of_profile { "profile" } else { "default" }.to_owned();
        };
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

impl Settings {
    /// Users whose passwords are known as they are, without them.
    fn plain_users(&self) -> BTreeMap<&str, &'static str> {
        let plain = self.config.users.iter().filter(|(_, credential)| matches!(credential, Credential::Password(_)));
        plain.map(|(name, _)| (name.as_str(), "…")).collect()
    }

    /// The keys that `new` has otherwise and that count from the next start on. `self` is what a broker runs with.
    pub fn need_restart(&self, new: &Settings) -> Vec<String> {
        let at_start = KEYS.iter().filter(|(key, ..)| AT_START.contains(key));
        let keys = at_start.filter(|(_, _, shown)| shown(self) != shown(new)).map(|(key, ..)| (*key).to_owned());
        let taken_up = Limits::shown(&self.config.renewed(new.config.clone()));
        let wanted = Limits::shown(&new.config);
        let limits = taken_up.into_iter().zip(wanted).filter(|(taken_up, wanted)| taken_up != wanted);
        keys.chain(limits.map(|(_, (key, _))| format!("limits.{key}"))).collect()
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
    [&mut file.users_file, &mut file.data, &mut file.ready_file].into_iter().flatten().for_each(from);
    file.tls.iter_mut().for_each(tls);
    file.listeners.iter_mut().flatten().filter_map(|listener| listener.tls.as_mut()).for_each(tls);
}

/// The JSON Schema (draft 7, which editors read) of a configuration.
pub fn schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<BrokerFile>();
    schema.insert("title".to_owned(), "A configuration of simrun --real".into());
    schema.to_value()
}
