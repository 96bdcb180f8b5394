//! The light demo does what the tutorial's programs do, on both engines and from the command line.

use std::path::Path;
use std::process::Command;

use simrun::scenario::{judge, read};
use simrun::sim::{Engine, run};
use simrun::trace::What;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/light_demo.yaml");

/// What a client's program printed, line by line.
fn printed(engine: Engine, name: &str) -> Vec<String> {
    let scenario = read(Path::new(DEMO)).unwrap().scenario;
    let run = run(&scenario, scenario.seed, engine);
    let line = |what: &What| match what {
        What::Printed { client, line } if &**client == name => Some(line.clone()),
        _ => None,
    };
    run.trace.iter().filter_map(|event| line(&event.what)).collect()
}

#[test]
fn every_program_prints_what_the_tutorials_programs_print() {
    for engine in [Engine::Direct, Engine::Turmoil] {
        let publisher = printed(engine, "publisher");
        assert_eq!(publisher[0], "消息发布!----我是一个发布者:正在给设备和传感器发布主题-----");
        assert_eq!(publisher[1..], (1..=20).map(|n| format!("已发送{n}条消息")).collect::<Vec<_>>());

        let heard = "lightChange 现在天黑了,回调消息:收到收到!我已经接收到发布者的消息";
        let subscribers = [
            ("light", "手电筒打开----我是一个订阅者:需要消费主题-----", ",并且打开了光传感器"),
            ("phone", "手机启动----我是一个订阅者:需要消费主题-----", "并给用户反馈手电筒已经打开"),
        ];
        for (name, opening, ending) in subscribers {
            let lines = printed(engine, name);
            assert_eq!(lines[..2], [opening.to_owned(), "Connected with result code 0".to_owned()]);
            assert_eq!(lines[2..], vec![format!("{heard}{ending}"); 20], "{name} on {engine}");
        }
    }
}

#[test]
fn every_expectation_holds_on_both_engines() {
    let scenario = read(Path::new(DEMO)).unwrap().scenario;
    for engine in [Engine::Direct, Engine::Turmoil] {
        let run = run(&scenario, scenario.seed, engine);
        let verdicts = judge(&scenario, &run.trace);
        assert!(verdicts.len() > 10);
        assert!(run.ended.since_start().as_secs() > 40);
        for verdict in verdicts {
            assert!(verdict.held, "{engine}: {verdict}");
        }
    }
}

#[test]
fn the_command_says_how_it_went() {
    let output = Command::new(env!("CARGO_BIN_EXE_simrun")).arg(DEMO).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("expectations held"), "{text}");
    assert!(text.contains("188 packets") && text.contains("seed 0"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
}

#[test]
fn verbose_shows_every_packet() {
    let output = Command::new(env!("CARGO_BIN_EXE_simrun")).arg(DEMO).arg("-v").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("  → ") && !line.contains("lost")).count(), 188);
    assert!(text.contains("→ broker  PUBLISH lightChange, QoS 1, id 1, \"现在天黑了\""), "{text}");
}

#[test]
fn an_expectation_that_does_not_hold_is_exit_code_1() {
    let directory = std::env::temp_dir().join(format!("simrun-light-demo-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("fails.yaml");
    std::fs::write(&file, "clients: { a: {} }\ntimeline:\n- by: 1s\n  expect: [{ to: a, packet: publish }]\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_simrun")).arg(&file).output().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 of 1 expectations did not hold"));
}

#[test]
fn wrong_input_is_exit_code_2() {
    let cases: [&[&str]; 4] = [&["no-such-file.yaml"], &[DEMO, "-o", "trace.unknown"], &["--no-such-flag"], &[]];
    for arguments in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_simrun")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let script = format!("{} {DEMO} -v | head -n 1", env!("CARGO_BIN_EXE_simrun"));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
