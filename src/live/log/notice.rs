//! What a line about a client says.

use super::Level;
use super::line::{Line, Value};
use crate::broker::{Notice, Noticed, Who, WillFate};
use crate::codec::Text;

/// How much a notice matters.
pub(super) fn level(notice: &Notice) -> Level {
    match &notice.what {
        Noticed::LimitHit(..) => Level::Warn,
        Noticed::Subscribed(_, Ok(_)) | Noticed::Unsubscribed(_) => Level::Debug,
        _ => Level::Info,
    }
}

/// How many bytes of it a client chose.
pub(super) fn weight(notice: &Notice) -> usize {
    let own = match &notice.what {
        Noticed::WillPublished(text) | Noticed::Subscribed(text, _) | Noticed::Unsubscribed(text) => text.len(),
        _ => 0,
    };
    let length = |text: &Option<Text>| text.as_ref().map_or(0, |text| text.len());
    own + length(&notice.who.client_id) + length(&notice.who.user)
}

pub(super) fn write(notice: &Notice, line: Line<'_>) {
    let say = |words| {
        let Who { client_id, user, address } = &notice.who;
        line.says(level(notice), words)
            .with("client_id", client_id.as_deref().map(Value::Text))
            .with("user", user.as_deref().map(Value::Text))
            .with("address", address.as_ref().map(|peer| Value::Text(&peer.0)))
    };
    match &notice.what {
        Noticed::Connected { version, keep_alive, clean_start, session_present } => say("connected")
            .with("version", Value::Text(&version.to_string()))
            .with("keep_alive", Value::Number((*keep_alive).into()))
            .with("clean_start", Value::Flag(*clean_start))
            .with("session_present", Value::Flag(*session_present)),
        Noticed::Refused(cause) => say("refused").with("reason", Value::Text(&cause.to_string())),
        Noticed::Disconnected { cause, will } => {
            let line = say("disconnected").with("reason", Value::Text(&cause.to_string()));
            match will {
                WillFate::None => line,
                WillFate::Published => line.with("will", Value::Text("published")),
                WillFate::Delayed(seconds) => line.with("will_in", Value::Number((*seconds).into())),
            }
        }
        Noticed::WillPublished(topic) => say("will published").with("topic", Value::Text(topic)),
        Noticed::Expired => say("session expired").with("reason", Value::Text("nobody came back to it in time")),
        Noticed::SessionEnded => say("session ended").with("reason", Value::Text("ended by the operator")),
        Noticed::Subscribed(filter, Ok(qos)) => {
            say("subscribed").with("filter", Value::Text(filter)).with("qos", Value::Number(qos.number().into()))
        }
        Noticed::Subscribed(filter, Err(reason)) => say("subscription refused")
            .with("filter", Value::Text(filter))
            .with("reason", Value::Text(&reason.to_string())),
        Noticed::Unsubscribed(filter) => say("unsubscribed").with("filter", Value::Text(filter)),
        Noticed::LimitHit(limit, times) => say(limit.words()).with("times", Value::Number(*times)),
    }
    .end();
}
