//! A case: a set-up, one stimulus, one expectation.

use std::future::Future;
use std::pin::Pin;

use super::bench::Bench;
use super::lab::Lab;
use super::setup::Setup;
use super::verdict::Outcome;
use crate::codec::Version;
use crate::rules::{Id, Role};

/// A case that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A case. It runs once per version whose statements it claims.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, the same as its function's.
    pub name: &'static str,
    /// The statements that it shows to be kept or broken.
    pub claims: &'static [&'static str],
    /// What it needs of its target.
    pub setup: Setup,
    /// What it does.
    pub run: Run,
}

/// What a case does.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Talks to a broker.
    Server(for<'a> fn(&'a mut Lab) -> Running<'a>),
    /// Lets a client talk to the suite.
    Client(for<'a> fn(&'a mut Bench) -> Running<'a>),
    /// Calls our own code: what no wire shows. Its role says which side's behaviour that is.
    Internals(Role, fn(Version) -> Outcome),
}

impl Case {
    /// Which side it judges.
    pub fn role(&self) -> Role {
        match self.run {
            Run::Server(_) => Role::Server,
            Run::Client(_) => Role::Client,
            Run::Internals(role, _) => role,
        }
    }

    /// The versions it is for.
    pub fn versions(&self) -> Vec<Version> {
        [Version::V3_1_1, Version::V5].into_iter().filter(|version| !self.claims_in(*version).is_empty()).collect()
    }

    /// What it claims in this version.
    pub fn claims_in(&self, version: Version) -> Vec<Id> {
        self.claims.iter().filter_map(|claim| Id::named(claim)).filter(|id| id.version() == version).collect()
    }
}

/// The table of contents of a file of cases for brokers: for each function its set-up, if it needs one, and the
/// statements that it claims.
macro_rules! server_cases {
    ($($(#[$doc:meta])* $name:ident $(with $setup:ident)? : [$($claim:literal),* $(,)?];)*) => {
        pub(super) const CASES: &[$crate::conform::Case] = &[$($crate::conform::Case {
            name: stringify!($name),
            claims: &[$($claim),*],
            setup: $crate::conform::case::setup!($($setup)?),
            run: $crate::conform::Run::Server(|lab| Box::pin($name(lab))),
        }),*];
    };
}

/// As `server_cases`, for clients.
macro_rules! client_cases {
    ($($(#[$doc:meta])* $name:ident $(with $setup:ident)? : [$($claim:literal),* $(,)?];)*) => {
        pub(super) const CASES: &[$crate::conform::Case] = &[$($crate::conform::Case {
            name: stringify!($name),
            claims: &[$($claim),*],
            setup: $crate::conform::case::setup!($($setup)?),
            run: $crate::conform::Run::Client(|bench| Box::pin($name(bench))),
        }),*];
    };
}

/// As `server_cases`, for what no wire shows: with the role whose behaviour it is.
macro_rules! internal_cases {
    ($($(#[$doc:meta])* $name:ident : Role::$role:ident, [$($claim:literal),* $(,)?];)*) => {
        pub(super) const INTERNALS: &[$crate::conform::Case] = &[$($crate::conform::Case {
            name: stringify!($name),
            claims: &[$($claim),*],
            setup: $crate::conform::Setup::Internals,
            run: $crate::conform::Run::Internals($crate::rules::Role::$role, $name),
        }),*];
    };
}

macro_rules! setup {
    () => {
        $crate::conform::Setup::Plain
    };
    ($setup:ident) => {
        $crate::conform::Setup::$setup
    };
}

pub(super) use {client_cases, internal_cases, server_cases, setup};
