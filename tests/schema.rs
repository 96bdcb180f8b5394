//! Editors know scenarios by their JSON Schema: every shipped scenario is held against it, and what it refuses is refused
//! by the reader too.

mod support;

use std::fs;

use simrun::scenario::{read, schema};
use support::scenarios::shipped;

#[test]
fn every_shipped_scenario_can_be_read() {
    let scenarios = shipped();
    assert!(scenarios.iter().any(|path| path.ends_with("light_demo.yaml")));
    for path in scenarios {
        let loaded = read(&path).unwrap_or_else(|diagnosis| panic!("{diagnosis}"));
        assert!(!loaded.story.is_empty(), "{} does not say what it is about", path.display());
    }
}

#[test]
fn every_shipped_scenario_fits_the_schema() {
    let validator = jsonschema::validator_for(&schema()).expect("the schema is one");
    for path in shipped() {
        let text = fs::read_to_string(&path).expect("readable");
        let value: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}:\n{}", path.display(), errors.join("\n"));
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema()).expect("the schema is one");
    for text in [
        "clients: { porch: { versoin: 5 } }",
        "clients: { porch: { keep_alive: 60 } }",
        "clients: { porch: { keep_alive: soon } }",
        "clients: { porch: { subscribe: { light: 3 } } }",
        "timeline: [{ at: 1s, cutt: porch }]",
        "timeline: [{ by: 1s, expect: [{ to: porch, packet: pubak }] }]",
        "broker: { profile: appollo }",
        "network: { chunk: 0 }",
        "network: { latency: 5..20 }",
    ] {
        let value: serde_json::Value = serde_yaml::from_str(text).expect("YAML");
        assert!(!validator.is_valid(&value), "the schema accepts {text}");
        assert!(simrun::scenario::parse("bad.yaml", text.as_bytes()).is_err(), "the reader accepts {text}");
    }
}

#[test]
fn the_schema_is_draft_7_and_documented() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let fields = schema["properties"].as_object().expect("fields");
    for (name, field) in fields {
        let told = field.get("description").or_else(|| field.get("$ref")).or_else(|| field.get("allOf"));
        assert!(told.is_some(), "{name} has no description: {field}");
    }
}
