//! An application's program: its steps laid out flat, and threads that go through them.

use std::collections::BTreeMap;

use super::{Do, ProgramStep};
use crate::time::Time;

/// One thing to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    /// A step that is neither a wait nor a repetition.
    Do(Box<ProgramStep>),
    Wait(std::time::Duration),
    /// Does what follows, up to the `Again` before `end`, so many times.
    Repeat {
        times: u32,
        end: usize,
    },
    /// Once more from the `Repeat` at `start`, or on.
    Again {
        start: usize,
    },
}

/// Lays the steps out flat.
pub(super) fn compile(steps: &[ProgramStep]) -> Vec<Op> {
    let mut ops = Vec::new();
    append(&mut ops, steps);
    ops
}

fn append(ops: &mut Vec<Op>, steps: &[ProgramStep]) {
    for step in steps {
        match step.action() {
            Some(Do::Wait(span)) => ops.push(Op::Wait(span.0)),
            Some(Do::Repeat(times, inner)) => {
                let start = ops.len();
                ops.push(Op::Repeat { times, end: 0 });
                append(ops, inner);
                ops.push(Op::Again { start });
                ops[start] = Op::Repeat { times, end: ops.len() };
            }
            Some(_) => ops.push(Op::Do(Box::new(step.clone()))),
            None => {}
        }
    }
}

/// Which list of ops a thread goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Program,
    Connack,
    Publish,
    Disconnect,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting<T> {
    /// Nothing: it can go on.
    No,
    Until(Time),
    /// A CONNACK, or the end of the attempt.
    Connect,
    /// What the client calls by this token.
    Settled(T),
}

/// One run through a list of ops.
#[derive(Clone, Debug)]
pub(super) struct Thread<T> {
    pub(super) which: Which,
    next: usize,
    /// For each repetition that it is in: which time, of how many.
    loops: Vec<(u32, u32)>,
    pub(super) waiting: Waiting<T>,
    /// What may stand in braces in a printed line.
    variables: BTreeMap<&'static str, String>,
}

impl<T> Thread<T> {
    pub(super) fn new(which: Which, variables: BTreeMap<&'static str, String>) -> Thread<T> {
        Thread { which, next: 0, loops: Vec::new(), waiting: Waiting::No, variables }
    }

    /// The next step to do now; `None` if it waits or is at its end.
    pub(super) fn step<'a>(&mut self, now: Time, ops: &'a [Op]) -> Option<&'a ProgramStep> {
        if let Waiting::Until(until) = self.waiting
            && until <= now
        {
            self.waiting = Waiting::No;
        }
        while matches!(self.waiting, Waiting::No) {
            let op = ops.get(self.next)?;
            self.next += 1;
            match op {
                Op::Do(step) => return Some(&**step),
                Op::Wait(span) => self.waiting = Waiting::Until(now + *span),
                Op::Repeat { times: 0, end } => self.next = *end,
                Op::Repeat { times, .. } => self.loops.push((1, *times)),
                Op::Again { start } => match self.loops.last_mut() {
                    Some((n, times)) if *n < *times => {
                        *n += 1;
                        self.next = start + 1;
                    }
                    _ => drop(self.loops.pop()),
                },
            }
        }
        None
    }

    /// Whether it has nothing more to do.
    pub(super) fn is_over(&self, ops: &[Op]) -> bool {
        matches!(self.waiting, Waiting::No) && self.next >= ops.len()
    }

    /// Which time the innermost repetition is in.
    pub(super) fn n(&self) -> u32 {
        self.loops.last().map_or(1, |(n, _)| *n)
    }

    /// The line with its braces filled in.
    pub(super) fn fill(&self, line: &str) -> String {
        let n = self.n().to_string();
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            filled.push_str(before);
            let known = after.find('}').and_then(|close| {
                let name = &after[1..close];
                let value = if name == "n" { Some(&n) } else { self.variables.get(name) };
                value.map(|value| (value, close + 1))
            });
            match known {
                Some((value, length)) => {
                    filled.push_str(value);
                    rest = &after[length..];
                }
                None => {
                    filled.push('{');
                    rest = &after[1..];
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}
