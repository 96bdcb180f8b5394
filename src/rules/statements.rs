//! The numbered statements of both standards: 141 of MQTT 3.1.1 (OASIS Standard, 29 October 2014) and 251 of MQTT 5.0
//! (OASIS Standard, 7 March 2019), in our words. Misprinted labels are put right.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use crate::codec::Version;

/// One numbered statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name here: see [`Id`].
    pub id: Id,
    /// The section of the standard, as `3.1.2`.
    pub section: &'static str,
    /// The subject, for grouping.
    pub topic: &'static str,
    /// The key words in it, in order, as `MUST+MAY`.
    pub level: &'static str,
    /// Whom it binds: `server`, `client` or `both`.
    pub applies_to: &'static str,
    /// From where it can be judged: `server-wire`, `client-wire`, `codec`, `api`, joined with `+`.
    pub observable: &'static str,
    /// What it asks for, in our words.
    pub summary: &'static str,
}

/// Names a statement: `v5/MQTT-3.6.1-1`. Ordered as in the standards, 3.1.1 first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    version: Version,
    /// Where it stands in its standard, counted from 0.
    place: u16,
}

impl Id {
    /// The statement with this name, as `v3.1.1/MQTT-2.3.1-1`.
    pub fn named(name: &str) -> Option<Id> {
        table().by_name.get(name).copied()
    }

    /// The standard that it stands in.
    pub const fn version(self) -> Version {
        self.version
    }

    /// What it says.
    pub fn statement(self) -> &'static Statement {
        &all(self.version)[usize::from(self.place)]
    }

    /// Its name in full.
    pub fn name(self) -> &'static str {
        let names = match self.version {
            Version::V3_1_1 => &table().names[0],
            Version::V5 => &table().names[1],
        };
        &names[usize::from(self.place)]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How ids and selections spell a version: `v3.1.1`, `v5`.
pub const fn spelling(version: Version) -> &'static str {
    match version {
        Version::V3_1_1 => "v3.1.1",
        Version::V5 => "v5",
    }
}

/// All statements of one standard, in its order.
pub fn all(version: Version) -> &'static [Statement] {
    match version {
        Version::V3_1_1 => &table().statements[0],
        Version::V5 => &table().statements[1],
    }
}

struct Table {
    statements: [Vec<Statement>; 2],
    names: [Vec<String>; 2],
    by_name: BTreeMap<String, Id>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let statements = [
            read(Version::V3_1_1, include_str!("statements/v3.1.1.tsv")),
            read(Version::V5, include_str!("statements/v5.tsv")),
        ];
        let names = statements.each_ref().map(|(names, _)| names.clone());
        let statements = statements.map(|(_, statements)| statements);
        let mut by_name = BTreeMap::new();
        for (names, statements) in names.iter().zip(&statements) {
            by_name.extend(names.iter().cloned().zip(statements.iter().map(|statement| statement.id)));
        }
        Table { statements, names, by_name }
    })
}

/// Reads a table: one statement a line, its fields between tabs, a heading first.
fn read(version: Version, table: &'static str) -> (Vec<String>, Vec<Statement>) {
    let statement = |(place, line): (u16, &'static str)| {
        let mut fields = line.split('\t');
        let mut field = || fields.next().unwrap_or_default();
        let number = field();
        let statement = Statement {
            id: Id { version, place },
            section: field(),
            topic: field(),
            level: field(),
            applies_to: field(),
            observable: field(),
            summary: field(),
        };
        (format!("{}/{number}", spelling(version)), statement)
    };
    (0..).zip(table.lines().skip(1)).map(statement).unzip()
}
