//! A run as lines of a terminal: what each program printed in a column of its own, with simulated time; with `-v`
//! every packet.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::link::LinkId;
use crate::time::Time;
use crate::trace::{Event, Name, Quoted, Transfer, What, describe_bytes};

/// The colours of names, in the order in which the names are shown.
const COLOURS: [AnsiColor; 6] =
    [AnsiColor::Cyan, AnsiColor::Yellow, AnsiColor::Green, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::BrightRed];

/// How events are written.
#[derive(Clone, Debug)]
pub struct Terminal {
    verbose: bool,
    colours: BTreeMap<Name, Style>,
    width: usize,
}

impl Terminal {
    /// For a run of machines with these names. `verbose` shows packets and connections, not only what programs print.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a Name>, verbose: bool) -> Terminal {
        let mut terminal = Terminal { verbose, colours: BTreeMap::new(), width: 0 };
        for (place, name) in names.into_iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            terminal.colours.insert(name.clone(), Style::new().fg_color(Some(colour.into())));
            terminal.width = terminal.width.max(name.width());
        }
        terminal
    }

    /// All events as lines, each ended.
    pub fn lines(&self, trace: &[Event]) -> String {
        let mut lines = String::new();
        let mut travels = Travels::of(trace);
        for event in trace {
            let travel = match &event.what {
                What::Left(transfer) => travels.next(transfer),
                _ => None,
            };
            if let Some(line) = self.line(event, Some(travel)) {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        lines
    }

    /// One event as a line, if it is to be shown. `travel` is how long a packet was on its way, where that is known;
    /// `Some(None)` if it never arrived.
    pub fn line(&self, event: &Event, travel: Option<Option<Duration>>) -> Option<String> {
        let (who, text) = match &event.what {
            What::Printed { client, line } => (Some(client), safe(line)),
            What::Fault { word, names, began } => (None, fault(word, names, *began)),
            What::Misused { client, why } => (Some(client), format!("! {}", safe(why))),
            _ if !self.verbose => return None,
            What::Opened { link, client, broker } => (Some(client), format!("connected to {broker} ({link})")),
            What::Unreachable { client, why, .. } => (Some(client), format!("cannot connect: {why}")),
            What::Closed { link, at, cause } => (Some(at), format!("{link} is over: {cause}")),
            What::Left(transfer) => {
                let mut text = format!("→ {}  ", transfer.to);
                text.push_str(&describe_bytes(transfer.version, &transfer.bytes));
                match travel {
                    Some(None) => text.push_str("  ✗ lost"),
                    Some(Some(span)) => {
                        let _ = write!(text, "  ({} ms)", Millis(span));
                    }
                    None => {}
                }
                (Some(&transfer.from), text)
            }
            What::Session { client_id, change } => {
                (None, format!("session of {} {}", Quoted(client_id.as_bytes()), change_word(*change)))
            }
            What::Arrived(_) | What::Told { .. } | What::Said { .. } => return None,
        };
        Some(self.row(event.time, who, &text))
    }

    fn row(&self, time: Time, who: Option<&Name>, text: &str) -> String {
        let dim = Style::new().dimmed();
        let name = who.map_or("", AsRef::as_ref);
        let padding = " ".repeat(self.width.saturating_sub(name.width()));
        let style = who.and_then(|name| self.colours.get(name)).copied().unwrap_or(dim);
        let time = format!("{:>10}", Seconds(time.since_start()).to_string());
        format!("{dim}{time}{dim:#}  {style}{name}{style:#}{padding}  {text}")
    }
}

fn change_word(change: crate::broker::SessionChange) -> &'static str {
    use crate::broker::SessionChange;
    match change {
        SessionChange::Made => "made",
        SessionChange::Restored => "restored from the disk",
        SessionChange::Resumed => "resumed",
        SessionChange::Ended => "ended",
    }
}

fn fault(word: &str, names: &[Name], began: bool) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let sign = if began { "✂" } else { "✓" };
    format!("{sign} {word} {}", names.join(", ")).trim_end().to_owned()
}

/// Text from the wire, without anything that would steer the terminal.
fn safe(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() && character != '\t' { '\u{FFFD}' } else { character })
        .collect()
}

/// How long each packet was on its way, in the order in which they left.
struct Travels(BTreeMap<(LinkId, Name), VecDeque<Option<Duration>>>);

impl Travels {
    /// On each way of a link packets arrive in the order they left: the first to leave is the first to arrive.
    fn of(trace: &[Event]) -> Travels {
        let mut left: BTreeMap<(LinkId, Name), VecDeque<Time>> = BTreeMap::new();
        let mut travels: BTreeMap<(LinkId, Name), VecDeque<Option<Duration>>> = BTreeMap::new();
        for event in trace {
            match &event.what {
                What::Left(transfer) => left.entry(way(transfer)).or_default().push_back(event.time),
                What::Arrived(transfer) => {
                    let key = way(transfer);
                    if let Some(since) = left.get_mut(&key).and_then(VecDeque::pop_front) {
                        travels.entry(key).or_default().push_back(Some(event.time.since(since)));
                    }
                }
                _ => {}
            }
        }
        Travels(travels)
    }

    fn next(&mut self, transfer: &Transfer) -> Option<Duration> {
        self.0.get_mut(&way(transfer))?.pop_front()?
    }
}

fn way(transfer: &Transfer) -> (LinkId, Name) {
    (transfer.link, transfer.from.clone())
}

/// Seconds with three decimals.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// Milliseconds with as many decimals as are not zero.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let (whole, rest) = (micros / 1000, micros % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// Whether something that was demanded held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it did.
    pub held: bool,
    /// What was demanded; where it did not hold, also what happened instead.
    pub what: String,
}

/// What held and what did not, one line each.
pub fn verdicts(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let mark = if verdict.held { good("✓") } else { bad("✗") };
        let _ = writeln!(text, "{mark} {}", verdict.what);
    }
    text
}

/// Said in green.
pub fn good(text: &str) -> String {
    let style = Style::new().bold().fg_color(Some(AnsiColor::Green.into()));
    format!("{style}{text}{style:#}")
}

/// Said in red.
pub fn bad(text: &str) -> String {
    let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    format!("{style}{text}{style:#}")
}
