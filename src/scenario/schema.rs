//! The JSON Schema of scenarios, for editors.

use schemars::generate::SchemaSettings;

use super::model::Scenario;

/// The JSON Schema (draft 7, which editors read) of a scenario.
pub fn schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Scenario>();
    schema.insert("title".to_owned(), "A scenario of simrun".into());
    schema.to_value()
}
