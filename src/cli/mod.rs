//! The command line: one file per command; here only what they have in common.
//!
//! Exit codes: 0 everything held, 1 something did not, 2 the input was wrong, 3 the other side cannot be reached or died.

mod bench;
mod conform;
mod connect;
mod documents;
mod explore;
mod healthcheck;
mod passwd;
mod publish;
mod real;
mod run;
mod schema;
mod subscribe;
mod trust;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::live::config::PageAddress;
use crate::live::log;
use crate::notation::scalar::from_word;
use crate::sim::Engine;

/// Something did not hold.
const FAILED: u8 = 1;
/// The input was wrong.
const WRONG: u8 = 2;
/// The other side could not be reached, or died.
const GONE: u8 = 3;

/// Deterministic MQTT simulation: a broker, clients and a network in simulated time, from a scenario file.
#[derive(Debug, Parser)]
#[command(name = "simrun", version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 everything held, 1 something did not, 2 the input was wrong.\n\
                        Begin with: simrun scenarios/light_demo.yaml")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a broker or a client against every numbered statement of MQTT 3.1.1 and 5.0
    Conform(Box<conform::ConformArguments>),
    /// Run a scenario under thousands of orders of faults, and shrink what breaks to a few lines
    Explore(Box<explore::ExploreArguments>),
    /// Publish messages to a broker
    Pub(Box<publish::PublishArguments>),
    /// Subscribe at a broker, and print the messages that come
    Sub(Box<subscribe::SubscribeArguments>),
    /// Load a broker, ours or any other, and measure what it does
    Bench(Box<bench::BenchArguments>),
    /// Ask a broker, or its page, whether it is there: exit code 0 if it is, 1 if not
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Print the JSON Schema of a kind of file, for editors
    Schema {
        /// The kind of file
        #[arg(value_enum, default_value_t = schema::Kind::Scenario)]
        kind: schema::Kind,
    },
    /// Add, change or remove a user in a file for `--users`
    Passwd(passwd::PasswdArguments),
    /// Print the completions of a shell, to be put where it looks for them
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    Man {
        /// The directory; made if it is not there
        directory: PathBuf,
    },
    /// Be steered as a client by `simrun conform --client`: the line protocol on stdin and stdout
    #[command(hide = true)]
    Adapter,
}

/// What a run is told.
#[derive(Debug, Args)]
struct RunArguments {
    /// The scenario file to run
    scenario: Option<PathBuf>,
    /// Show every packet, connection and session, not only what programs print
    #[arg(short, long)]
    verbose: bool,
    /// Write the trace to a file; its ending decides the form (.jsonl). May be given several times
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Draw chance from this number instead of the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What runs the machines in simulated time
    #[arg(long, value_enum, default_value_t = EngineWord::DEFAULT)]
    engine: EngineWord,
    /// Run the scenario repeatedly and compare the traces byte for byte
    #[arg(long)]
    check_determinism: bool,
    #[command(flatten)]
    real: RealArguments,
}

/// Where these options stand in help texts.
const BROKER: &str = "A broker on real sockets (--real)";
const ACCESS: &str = "Who may come in (--real)";

/// What a broker on real sockets is told.
#[derive(Clone, Debug, Args)]
struct RealArguments {
    /// Serve on a real port, on loopback unless --listen says otherwise, until Ctrl-C.
    /// With a SCENARIO: run it there, in real time, its broker open to anyone else too; Ctrl-C ends it early, with exit
    /// code 1
    #[arg(long, help_heading = BROKER, conflicts_with_all = ["engine", "check_determinism"])]
    real: bool,
    /// Serve as another broker is set up when new: apollo has port 61613 and user admin with password "password"
    #[arg(long, help_heading = BROKER, value_enum, requires = "real", conflicts_with = "scenario")]
    profile: Option<Profile>,
    /// A configuration file (YAML; `simrun schema broker` describes it); SIGHUP re-reads users, rules and certificates
    /// [env: SIMRUN_CONFIG]
    #[arg(long, help_heading = BROKER, value_name = "FILE", requires = "real", conflicts_with = "scenario")]
    config: Option<PathBuf>,
    /// Where to listen: [mqtt|mqtts|ws|wss://]ADDRESS[:PORT]. May be given several times; port 0 takes a free one and
    /// prints it [default: 127.0.0.1:1883, or the scenario's port]
    #[arg(long, help_heading = BROKER, value_name = "ADDRESS:PORT", requires = "real")]
    listen: Vec<String>,
    /// Where to listen for MQTT over WebSocket too, at the path /mqtt
    #[arg(long, help_heading = BROKER, value_name = "ADDRESS:PORT", requires = "real", conflicts_with = "scenario")]
    ws: Option<SocketAddr>,
    /// The certificate for mqtts and wss (PEM), those it is signed with behind it
    #[arg(long, help_heading = BROKER, value_name = "FILE", requires = "tls_key", conflicts_with = "scenario")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, help_heading = BROKER, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make a certificate for localhost that is thrown away at the end, and say which file clients have to trust
    #[arg(long, help_heading = BROKER, requires = "real", conflicts_with_all = ["tls_cert", "scenario"])]
    tls_dev: bool,
    /// Any key of the configuration file, as limits.connections=100. May be given several times
    #[arg(long, help_heading = BROKER, value_name = "KEY=VALUE", requires = "real", conflicts_with = "scenario")]
    set: Vec<String>,
    /// Print the whole configuration, with where each value came from, and end
    #[arg(long, help_heading = BROKER, requires = "real", conflicts_with = "scenario")]
    print_config: bool,
    /// Write a file once clients can connect, with a line for each address
    #[arg(long, help_heading = BROKER, value_name = "FILE", requires = "real", conflicts_with = "scenario")]
    ready_file: Option<PathBuf>,
    /// Where to serve a page that shows the broker, JSON under /api, /metrics and /healthz; port 0 takes a free one.
    /// Beyond loopback it needs users. Profile apollo has it at 127.0.0.1:61680, unless --listen is given [default: off]
    #[arg(long, help_heading = BROKER, value_name = "ADDRESS:PORT|off", requires = "real", conflicts_with = "scenario", value_parser = from_word::<PageAddress>)]
    web: Option<PageAddress>,
    /// How the log on standard error looks [default: human on a terminal, json elsewhere]
    #[arg(long, help_heading = BROKER, value_enum, value_name = "FORM", requires = "real", conflicts_with = "scenario")]
    log: Option<log::Form>,
    /// How much is logged [default: info]
    #[arg(long, help_heading = BROKER, value_enum, value_name = "LEVEL", requires = "real", conflicts_with = "scenario")]
    log_level: Option<log::Level>,
    /// How often the broker publishes what it counts under $SYS/broker/; 0s for never [default: 10s]
    #[arg(long, help_heading = BROKER, value_name = "SPAN", requires = "real", conflicts_with = "scenario", value_parser = connect::span)]
    sys_interval: Option<Duration>,
    /// Keep sessions, subscriptions, queued and retained messages and wills in this directory: an acknowledgement leaves
    /// once what it promises is on the disk
    #[arg(long, help_heading = BROKER, value_name = "DIR", requires = "real", conflicts_with = "scenario")]
    data: Option<PathBuf>,
    /// How many of the scenario's seconds pass in a real one, from 0.1 to 100
    #[arg(long, help_heading = BROKER, value_name = "TIMES", requires_all = ["real", "scenario"], value_parser = speed, default_value_t = 1.0)]
    speed: f64,
    /// A user who may connect; from then on nobody else may. May be given several times [env: SIMRUN_USERNAME and
    /// SIMRUN_PASSWORD]
    #[arg(long, help_heading = ACCESS, value_name = "NAME:PASSWORD", requires = "real", conflicts_with = "scenario")]
    user: Vec<String>,
    /// A file of users, as `simrun passwd` and mosquitto_passwd write it [env: SIMRUN_USERS]
    #[arg(long, help_heading = ACCESS, value_name = "FILE", requires = "real", conflicts_with = "scenario")]
    users: Option<PathBuf>,
    /// Clients may come without a user name, also from other machines
    #[arg(long, help_heading = ACCESS, requires = "real", conflicts_with = "scenario")]
    anonymous: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Apache Apollo
    Apollo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineWord {
    /// Programs on the hosts of a simulated network
    Turmoil,
    /// An ordered queue of events: idle time costs nothing
    Direct,
}

impl EngineWord {
    const DEFAULT: EngineWord = EngineWord::Turmoil;
}

impl From<EngineWord> for Engine {
    fn from(word: EngineWord) -> Engine {
        match word {
            EngineWord::Turmoil => Engine::Turmoil,
            EngineWord::Direct => Engine::Direct,
        }
    }
}

/// A speed that a real clock can be read at.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.1..=100.0).contains(&speed) => Ok(speed),
        _ => Err("write a number from 0.1 to 100".to_owned()),
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a reader that went away is no error of ours.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { 0 });
        }
    };
    match cli.command {
        Some(Command::Conform(arguments)) => conform::conform(&arguments),
        Some(Command::Explore(arguments)) => explore::explore(&arguments),
        Some(Command::Pub(arguments)) => publish::publish(&arguments),
        Some(Command::Sub(arguments)) => subscribe::subscribe(&arguments),
        Some(Command::Bench(arguments)) => bench::bench(&arguments),
        Some(Command::Healthcheck(arguments)) => healthcheck::healthcheck(&arguments),
        Some(Command::Schema { kind }) => schema::print(kind),
        Some(Command::Passwd(arguments)) => passwd::run(&arguments),
        Some(Command::Completions { shell }) => documents::completions(shell),
        Some(Command::Man { directory }) => documents::man(&directory),
        Some(Command::Adapter) => match crate::conform::steered::speak() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => wrong(format!("not in the line protocol: {error}")),
        },
        None if cli.run.real.real => real::run(&cli.run),
        None => run::run(&cli.run),
    }
}

/// Writes to the terminal or wherever standard output goes. A reader that went away is not worth a word: `simrun … |
/// head` ends quietly.
fn say(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says what was wrong with the input, and ends with the exit code for it.
fn wrong(what: impl std::fmt::Display) -> ExitCode {
    complain(what);
    ExitCode::from(WRONG)
}

fn complain(what: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{what}");
}

/// Whether the error only says that a reader went away.
fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
