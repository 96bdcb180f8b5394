//! Whom a command believes over TLS: the same options wherever one dials.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

use super::complain;
use crate::live::dial::Trust;

/// Where these options stand in help texts.
const TLS: &str = "TLS (mqtts, wss)";

/// What is said about TLS.
#[derive(Debug, Args)]
pub(super) struct TrustArguments {
    /// The authorities that may sign the broker's certificate (PEM) [default: those of this system]
    #[arg(long, help_heading = TLS, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// The certificate to show the broker (PEM)
    #[arg(long, help_heading = TLS, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, help_heading = TLS, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Believe any certificate: anyone on the way can then read and change what is sent
    #[arg(long, help_heading = TLS, conflicts_with = "cafile")]
    insecure: bool,
}

impl TrustArguments {
    /// The same, for dialling. Says so if nothing is checked.
    pub(super) fn trust(&self) -> Trust {
        if self.insecure {
            complain("warning: --insecure: the broker's certificate is not checked");
        }
        Trust {
            authorities: self.cafile.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
            insecure: self.insecure,
        }
    }
}

impl fmt::Display for TrustArguments {
    /// As they are written behind a command, each with a space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (option, file) in [("cafile", &self.cafile), ("cert", &self.cert), ("key", &self.key)] {
            if let Some(file) = file {
                write!(f, " --{option} {}", file.display())?;
            }
        }
        if self.insecure { f.write_str(" --insecure") } else { Ok(()) }
    }
}
