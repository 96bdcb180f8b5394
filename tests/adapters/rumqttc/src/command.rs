//! The commands of the line protocol, and what is answered to them.

use bytes::Bytes;
use rumqttc::QoS;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    Connect(Box<Connect>),
    Reconnect {
        #[serde(default)]
        clean_start: bool,
    },
    Publish(Publish),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Disconnect(Disconnect),
}

#[derive(Deserialize)]
pub struct Connect {
    pub host: String,
    pub port: u16,
    pub version: String,
    #[serde(default)]
    pub client_id: String,
    pub clean_start: Option<bool>,
    pub keep_alive: Option<u16>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub session_expiry: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    #[serde(default)]
    pub user_properties: Vec<(String, String)>,
    pub authentication_method: Option<String>,
    #[serde(default)]
    pub authentication_data: Option<Hex>,
    pub will: Option<Publish>,
}

/// A message, or a will (which has a delay, and no alias).
#[derive(Deserialize)]
pub struct Publish {
    pub topic: String,
    #[serde(default)]
    payload: String,
    payload_hex: Option<Hex>,
    payload_size: Option<usize>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    pub retain: bool,
    pub delay: Option<u32>,
    pub topic_alias: Option<u16>,
    pub message_expiry: Option<u32>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Hex>,
    pub payload_is_text: Option<bool>,
    #[serde(default)]
    pub user_properties: Vec<(String, String)>,
}

impl Publish {
    pub fn payload(&self) -> Vec<u8> {
        match (&self.payload_hex, self.payload_size) {
            (_, Some(size)) => vec![b'x'; size],
            (Some(hex), None) => hex.0.clone(),
            (None, None) => self.payload.clone().into_bytes(),
        }
    }

    pub fn qos(&self) -> Result<QoS, No> {
        qos(self.qos)
    }
}

#[derive(Deserialize)]
pub struct Subscribe {
    pub filters: Vec<Filter>,
    pub subscription_identifier: Option<usize>,
    #[serde(default)]
    pub user_properties: Vec<(String, String)>,
}

#[derive(Deserialize)]
pub struct Filter {
    pub filter: String,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    pub no_local: bool,
    #[serde(default)]
    pub retain_as_published: bool,
    #[serde(default)]
    pub retain_handling: u8,
}

impl Filter {
    pub fn qos(&self) -> Result<QoS, No> {
        qos(self.qos)
    }
}

#[derive(Deserialize)]
pub struct Unsubscribe {
    filters: Vec<String>,
    #[serde(default)]
    pub user_properties: Vec<(String, String)>,
}

impl Unsubscribe {
    /// The filter: rumqttc takes one at a time.
    pub fn filter(&self) -> Result<&str, No> {
        match &self.filters[..] {
            [one] => Ok(one),
            _ => Err(No::Unsupported("unsubscribing from several filters at once")),
        }
    }
}

#[derive(Deserialize)]
pub struct Disconnect {
    #[serde(default)]
    reason: u8,
    session_expiry: Option<u32>,
    reason_string: Option<String>,
    #[serde(default)]
    user_properties: Vec<(String, String)>,
}

impl Disconnect {
    /// rumqttc's DISCONNECT is always the plain one.
    pub fn is_plain(&self) -> Result<(), No> {
        let properties = self.session_expiry.is_some() || self.reason_string.is_some();
        match self.reason != 0 || properties || !self.user_properties.is_empty() {
            true => Err(No::Unsupported("a reason or properties in DISCONNECT")),
            false => Ok(()),
        }
    }
}

/// Bytes that are written in hex.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Hex(#[serde(with = "hex")] Vec<u8>);

impl From<&Hex> for Bytes {
    fn from(hex: &Hex) -> Bytes {
        hex.0.clone().into()
    }
}

/// Why a command was not carried out.
pub enum No {
    Refused(String),
    Unsupported(&'static str),
}

impl<E: std::error::Error> From<E> for No {
    fn from(error: E) -> No {
        No::Refused(error.to_string())
    }
}

fn qos(number: u8) -> Result<QoS, No> {
    rumqttc::qos(number).map_err(No::from)
}
