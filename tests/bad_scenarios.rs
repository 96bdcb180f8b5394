//! A scenario that cannot be run is refused before anything runs, with file, line, column, the line itself and what to
//! do about it. The snapshots beside this file show what a user sees.

use std::fs;
use std::path::Path;

use simrun::scenario::{parse, read};

/// What a user sees of a scenario that is refused.
fn diagnosis(text: &[u8]) -> String {
    match parse("lamp.yaml", text) {
        Ok(_) => "accepted".to_owned(),
        Err(diagnosis) => diagnosis.to_string(),
    }
}

/// Snapshots the diagnosis of each case under its name, with the text before it.
macro_rules! refused {
    ($($name:ident: $text:expr;)*) => {
        $(#[test]
        fn $name() {
            let text: &str = $text;
            let seen = diagnosis(text.as_bytes());
            assert_ne!(seen, "accepted", "{text}");
            insta::with_settings!({ description => text, omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), seen);
            });
        })*
    };
}

refused! {
    // Fields.
    unknown_field: "clients:\n  porch: { versoin: \"5\" }\n";
    unknown_field_at_the_top: "client:\n  porch: {}\n";
    unknown_field_of_a_step: "clients: { porch: {} }\ntimeline:\n  - at: 1s\n    cutt: porch\n";
    unknown_field_of_a_pattern: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect:\n      - { to: porch, packet: publish, paylod: \"on\" }\n";
    unknown_field_of_options: "clients:\n  porch:\n    subscribe:\n      light: { qos: 1, nolocal: true }\n";
    missing_field: "clients:\n  porch:\n    will: { payload: gone }\n";
    duplicate_field: "seed: 1\nclients: { porch: {} }\nseed: 2\n";
    duplicate_client: "clients:\n  porch: {}\n  hall: {}\n  porch: {}\n";
    duplicate_filter: "clients:\n  porch:\n    subscribe: { light: 0, light: 1 }\n";
    a_list_where_a_map_belongs: "clients:\n  - porch\n";
    a_number_where_a_map_belongs: "clients: 5\n";
    a_map_where_text_belongs: "clients:\n  porch: { client_id: { name: porch } }\n";
    a_word_where_a_flag_belongs: "clients:\n  porch: { clean_start: maybe }\n";
    a_number_out_of_range: "clients:\n  porch: { receive_maximum: 70000 }\n";
    a_negative_number: "seed: -1\nclients: { porch: {} }\n";

    // Names.
    unknown_client: "clients:\n  porch: {}\n  hall: {}\ntimeline:\n  - at: 1s\n    cut: porhc\n";
    unknown_client_in_a_list: "clients:\n  porch: {}\n  hall: {}\ntimeline:\n  - at: 1s\n    cut: [hall, kitchen]\n";
    unknown_publisher: "clients:\n  porch: {}\ntimeline:\n  - at: 1s\n    publish: { from: switch, topic: light }\n";
    unknown_client_in_a_pattern: "clients:\n  porch: {}\ntimeline:\n  - by: 1s\n    expect: [{ to: prch, packet: publish }]\n";
    unknown_client_in_never: "clients:\n  porch: {}\nnever:\n  - { client: poch, event: closed }\n";
    a_client_called_broker: "clients:\n  broker: {}\n";
    a_client_with_an_odd_name: "clients:\n  \"por\\tch\": {}\n";
    a_copy_with_another_clients_name: "clients:\n  lamp: { count: 3 }\n  lamp-2: {}\n";
    the_broker_as_a_client: "clients: { porch: {} }\ntimeline:\n  - at: 1s\n    disconnect: broker\n";
    unknown_packet: "clients:\n  porch: {}\ntimeline:\n  - by: 1s\n    expect: [{ to: porch, packet: pubak }]\n";
    unknown_event: "clients:\n  porch: {}\ntimeline:\n  - by: 1s\n    expect: [{ client: porch, event: conected }]\n";
    unknown_cause: "clients:\n  porch: {}\nnever:\n  - { client: porch, event: closed, cause: keepalive }\n";
    unknown_reason: "clients:\n  porch: {}\nnever:\n  - { to: porch, packet: disconnect, reason: session takenover }\n";
    unknown_reason_number: "clients:\n  porch: {}\nnever:\n  - { to: porch, packet: disconnect, reason: 0x77 }\n";
    unknown_version: "clients:\n  porch: { version: 3.2 }\n";
    unknown_profile: "broker: { profile: appollo }\nclients: { porch: {} }\n";
    unknown_property: "clients:\n  porch: {}\nnever:\n  - { to: porch, packet: publish, has: { topic_alais: true } }\n";
    unknown_statement: "covers: [MQTT-3.3.1-1]\nclients: { porch: {} }\n";
    unknown_placeholder: "clients:\n  porch:\n    on:\n      publish:\n        - print: \"{topc} came\"\n";
    unknown_step: "clients:\n  porch:\n    program: [conect]\n";
    unknown_way: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, cut: porch, way: upwards }\n";

    // Durations and times.
    no_unit: "clients:\n  porch: { keep_alive: 60 }\n";
    wrong_unit: "clients:\n  porch: { keep_alive: 60sec }\n";
    no_duration: "clients: { porch: {} }\ntimeline:\n  - at: soon\n    cut: porch\n";
    a_fraction_of_a_second: "clients:\n  porch: { keep_alive: 1500ms }\n";
    a_keep_alive_too_long: "clients:\n  porch: { keep_alive: 20h }\n";
    time_that_goes_backwards: "clients: { porch: {} }\ntimeline:\n  - at: 5s\n    cut: porch\n  - at: 4999ms\n    heal: porch\n";
    a_demand_before_the_deed: "clients: { porch: {} }\ntimeline:\n  - at: 5s\n    cut: porch\n  - by: 3s\n    expect: [{ client: porch, event: closed }]\n";
    negative_time: "clients: { porch: {} }\ntimeline:\n  - at: -5s\n    cut: porch\n";
    not_a_time: "clients: { porch: {} }\ntimeline:\n  - at: .nan\n    cut: porch\n";
    infinite_time: "clients: { porch: {} }\ntimeline:\n  - at: .inf\n    cut: porch\n";
    too_late: "clients: { porch: {} }\ntimeline:\n  - at: 400d\n    cut: porch\n";
    overflow: "clients: { porch: {} }\ntimeline:\n  - at: 99999999999999999999999999999999999999999999999999d\n    cut: porch\n";
    a_range_backwards: "network: { latency: 20ms..5ms }\nclients: { porch: {} }\n";
    a_latency_too_long: "network: { latency: 1h }\nclients: { porch: {} }\n";
    an_end_before_the_timeline: "clients: { porch: {} }\nends: 1s\ntimeline:\n  - at: 5s\n    cut: porch\n";

    // Steps.
    no_time: "clients: { porch: {} }\ntimeline:\n  - cut: porch\n";
    two_times: "clients: { porch: {} }\ntimeline:\n  - at: 1s\n    by: 2s\n    cut: porch\n";
    no_verb: "clients: { porch: {} }\ntimeline:\n  - at: 1s\n";
    two_verbs: "clients: { porch: {} }\ntimeline:\n  - at: 1s\n    cut: porch\n    heal: porch\n";
    a_deed_with_by: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    cut: porch\n";
    a_demand_with_at: "clients: { porch: {} }\ntimeline:\n  - at: 1s\n    expect: [{ client: porch, event: closed }]\n";
    a_way_without_a_cut: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, hold: porch, way: up }\n";
    nobody_cut: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, cut: [] }\n";
    nothing_expected: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: []\n";
    nothing_to_publish_to: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, publish: { from: porch, payload: \"on\" } }\n";
    two_payloads: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, publish: { from: porch, topic: light, payload: \"on\", hex: \"6f6e\" } }\n";
    odd_hex: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, send: { from: porch, hex: \"c0 0\" } }\n";
    no_hex: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, send: { from: porch, hex: \"ping\" } }\n";
    chunks_of_nothing: "network: { chunk: 0 }\nclients: { porch: {} }\n";
    repeat_too_often: "clients:\n  porch:\n    program: [{ repeat: 100000000, do: [connect] }]\n";
    repeats_within_repeats: "clients:\n  porch:\n    program: [{ repeat: 100000, do: [{ repeat: 100000, do: [connect] }] }]\n";
    do_without_repeat: "clients:\n  porch:\n    program: [{ print: hello, do: [connect] }]\n";
    repeat_without_do: "clients:\n  porch:\n    program: [{ repeat: 3 }]\n";
    a_wait_in_an_answer: "clients:\n  porch:\n    on: { connack: [{ wait: 1s }] }\n";
    too_many_clients: "clients:\n  porch: { count: 5000000 }\n";
    no_reconnect_time: "clients:\n  porch: { reconnect: 0s }\n";

    // Topics.
    an_invalid_filter: "clients:\n  porch:\n    subscribe: { \"light/#/hall\": 1 }\n";
    an_invalid_shared_filter: "clients:\n  porch:\n    subscribe: { \"$share//light\": 1 }\n";
    an_invalid_topic: "clients: { porch: {} }\ntimeline:\n  - { at: 1s, publish: { from: porch, topic: light/+ } }\n";
    an_invalid_qos: "clients:\n  porch: { subscribe: { light: 3 } }\n";

    // Versions.
    a_session_expiry_in_3_1_1: "clients:\n  porch: { version: \"3.1.1\", session_expiry: 1h }\n";
    a_will_delay_in_3_1_1: "clients:\n  porch: { version: \"3.1.1\", will: { topic: gone, delay: 5s } }\n";
    options_in_3_1_1: "clients:\n  porch: { version: \"3.1.1\", subscribe: { light: { qos: 1, no_local: true } } }\n";
    properties_in_3_1_1: "clients: { porch: { version: \"3.1.1\" } }\ntimeline:\n  - { at: 1s, publish: { from: porch, topic: light, topic_alias: 1 } }\n";
    a_password_alone_in_3_1_1: "clients:\n  porch: { version: \"3.1.1\", password: secret }\n";

    // Patterns.
    a_pattern_about_nobody: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: [{ packet: publish }]\n";
    a_pattern_about_nothing: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: [{ to: porch }]\n";
    a_field_of_another_packet: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: [{ to: porch, packet: puback, payload: \"on\" }]\n";
    a_field_of_another_event: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: [{ client: porch, event: printed, topic: light }]\n";
    a_packet_between_clients: "clients: { porch: {}, hall: {} }\ntimeline:\n  - by: 1s\n    expect: [{ from: hall, to: porch, packet: publish }]\n";
    a_packet_at_a_client: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: [{ client: porch, packet: publish }]\n";
    a_count_under_never: "clients: { porch: {} }\nnever: [{ to: porch, packet: publish, count: 1 }]\n";
    a_count_that_is_none: "clients: { porch: {} }\ntimeline:\n  - by: 1s\n    expect: [{ to: porch, packet: publish, count: many }]\n";

    // Files.
    an_empty_file: "";
    only_a_comment: "# A lamp that lost its link.\n";
    no_clients: "seed: 1\n";
    not_a_map: "once upon a time\n";
    not_yaml: "clients:\n  porch: { version: \"5\"\ntimeline: []\n";
    a_tab: "clients:\n\tporch: {}\n";
    two_documents: "clients: { porch: {} }\n---\nclients: { hall: {} }\n";
    an_unknown_alias: "clients: { porch: *hall }\n";
    a_tag: "clients: { porch: !lamp {} }\n";
    a_nul: "clients:\n  porch: {}\0\n";
    a_long_line: concat!(
        "clients: { porch: {} }\n",
        "never: [{ client: porch, event: closed }, { client: porch, event: closed }, { client: porch, event: closed }, ",
        "{ client: prch, event: closed }, { client: porch, event: closed }, { client: porch, event: closed }]\n",
    );
    a_line_in_chinese: "clients:\n  手机: { client_id: 手机启动, keepalive: 60s }\n";
}

#[test]
fn a_hundred_levels() {
    let lists = format!("clients: {}{}\n", "[".repeat(100), "]".repeat(100));
    insta::assert_snapshot!("a_hundred_lists", diagnosis(lists.as_bytes()));
    let maps = format!("clients: {}1{}\n", "{ a: ".repeat(100), " }".repeat(100));
    insta::assert_snapshot!("a_hundred_maps", diagnosis(maps.as_bytes()));
    let lines: String = (0..100).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    insta::assert_snapshot!("a_hundred_indents", diagnosis(lines.as_bytes()));
}

/// Nothing that a text can hold makes reading it long.
#[test]
fn bombs() {
    #[allow(clippy::disallowed_methods, clippy::disallowed_types)] // How long it takes is what is tested.
    let began = std::time::Instant::now();
    let lists = format!("clients: {}", "[".repeat(100_000));
    assert_ne!(diagnosis(lists.as_bytes()), "accepted");
    let indents = "- ".repeat(50_000);
    assert_ne!(diagnosis(indents.as_bytes()), "accepted");
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", ")));
    }
    insta::assert_snapshot!("an_alias_bomb", diagnosis(laughs.as_bytes()));
    let endless = "clients: &all { porch: *all }\n";
    insta::assert_snapshot!("an_endless_alias", diagnosis(endless.as_bytes()));
    assert!(began.elapsed().as_secs() < 20, "took {:?}", began.elapsed());
}

#[test]
fn bytes_that_are_no_text() {
    insta::assert_snapshot!("binary", diagnosis(b"\x7fELF\x02\x01\x01\x00\x00"));
    insta::assert_snapshot!("not_utf8", diagnosis(b"clients:\n  caf\xe9: {}\n"));
    insta::assert_snapshot!("utf16", diagnosis(b"\xff\xfec\x00l\x00i\x00"));
}

#[test]
fn files_that_are_none() {
    let seen = |path: &Path| read(path).map(|_| ()).map_err(|diagnosis| diagnosis.to_string()).unwrap_err();
    insta::assert_snapshot!("a_missing_file", seen(Path::new("scenarios/light_dmeo.yaml")));
    insta::assert_snapshot!("a_missing_directory", seen(Path::new("nowhere/light_demo.yaml")));
    let directory = seen(Path::new("scenarios"));
    assert!(directory.starts_with("error: this is a directory, not a scenario\n  --> scenarios\n"), "{directory}");
    #[cfg(unix)]
    assert!(seen(Path::new("/dev/null")).contains("this is not a plain file"));
}

/// Whatever the bytes, reading them ends with a scenario or a diagnosis.
#[test]
fn broken_versions_of_a_good_scenario() {
    let good = fs::read("scenarios/light_demo.yaml").expect("the demo is there");
    for cut in (0..good.len()).step_by(3) {
        let _ = parse("cut.yaml", &good[..cut]).map_err(|diagnosis| diagnosis.to_string());
    }
    for at in (0..good.len()).step_by(11) {
        for wrong in [b'{', b'*', b'"', b'\n', b'-', b':', 0xff] {
            let mut bad = good.clone();
            bad[at] = wrong;
            let _ = parse("bad.yaml", &bad).map_err(|diagnosis| diagnosis.to_string());
        }
    }
}
