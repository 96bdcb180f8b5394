//! Processor time and memory of a process, from `/proc`.

use std::ops::Sub;

/// How many of the kernel's ticks are a second, for every program on Linux.
const TICKS: f64 = 100.0;

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

/// Processor time, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    pub(super) user: f64,
    pub(super) system: f64,
}

impl Cpu {
    pub(super) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, earlier: Cpu) -> Cpu {
        Cpu { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl Process {
    /// The process with this number, if there is one.
    pub fn with_id(id: u32) -> Option<Process> {
        std::path::Path::new(&format!("/proc/{id}/stat")).exists().then_some(Process(id))
    }

    /// This one.
    pub(super) fn own() -> Process {
        Process(std::process::id())
    }

    fn read(self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap_or_default()
    }

    /// What it has used so far; nothing once it is gone.
    pub(super) fn cpu(self) -> Cpu {
        let stat = self.read("stat");
        // The name, in brackets, may hold anything; behind it, utime and stime are the 12th and 13th field.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let mut fields = behind.split_whitespace().skip(11).map(|field| field.parse::<f64>().unwrap_or_default());
        let mut seconds = || fields.next().unwrap_or_default() / TICKS;
        Cpu { user: seconds(), system: seconds() }
    }

    /// Its resident memory, in bytes; 0 once it is gone.
    pub(super) fn memory(self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes =
            line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
        kibibytes.unwrap_or_default() * 1024
    }
}
