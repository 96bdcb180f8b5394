//! A sweep over many machines: the examples under `docs/exploration/` are good YAML, `simrun` takes their command lines, and
//! what their parts find, each a process of its own, merges into what one run finds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_yaml::Value;
use simrun::explore::Outcome;

const FEW: &str = "0..48";

fn example(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exploration").join(name);
    let text = fs::read_to_string(path).expect("the example is there");
    text.split("\n---\n").map(|part| serde_yaml::from_str(part).expect("it is YAML")).collect()
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn simrun<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simrun")).args(arguments).output().expect("it runs")
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn outcome(file: &Path) -> Outcome {
    Outcome::read(&fs::read_to_string(file).expect("a result")).expect("a result of simrun explore")
}

/// What one run finds of the same seeds.
fn whole(folder: &Path) -> Outcome {
    let file = folder.join("whole.json");
    succeeds(&simrun(["explore", "--seeds", FEW, "--keep-going", "--output", &file.display().to_string()]));
    outcome(&file)
}

#[test]
fn the_pods_of_the_kubernetes_job_find_together_what_one_run_finds() {
    let folder = folder("kubernetes");
    let jobs = example("kubernetes.yaml");
    let [explore, merge] = &jobs[..] else { panic!("two jobs") };
    let container = |job: &Value| job["spec"]["template"]["spec"]["containers"][0].clone();
    let strings = |value: &Value| -> Vec<String> {
        let items = value["args"].as_sequence().expect("a list").iter();
        items.map(|item| item.as_str().expect("a string").to_owned()).collect()
    };
    assert_eq!(explore["kind"], "Job");
    assert_eq!(explore["spec"]["completionMode"], "Indexed");
    let field = container(explore)["env"][0]["valueFrom"]["fieldRef"]["fieldPath"].as_str().expect("a path").to_owned();
    assert_eq!(field, "metadata.annotations['batch.kubernetes.io/job-completion-index']");
    let shard = container(explore)["env"][0]["name"].as_str().expect("a name").to_owned();
    let here = |argument: &str| argument.replace("/results", &folder.display().to_string());

    let completions = explore["spec"]["completions"].as_u64().expect("a number");
    let parts: Vec<_> = (0..completions)
        .map(|index| {
            let arguments = strings(&container(explore)).into_iter().map(|argument| {
                let argument = here(&argument).replace(&format!("$({shard})"), &index.to_string());
                if argument.starts_with("--seeds=") { format!("--seeds={FEW}") } else { argument }
            });
            let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
            command.args(arguments).env("JOB_COMPLETION_INDEX", index.to_string()).spawn().expect("it runs")
        })
        .collect();
    for part in parts {
        succeeds(&part.wait_with_output().expect("it ends"));
    }
    fs::create_dir_all(folder.join("merged")).expect("a folder can be made");
    succeeds(&simrun(strings(&container(merge)).iter().map(|argument| here(argument))));
    let merged = outcome(&folder.join("merged/all.json"));
    assert_eq!(merged.runs, 48);
    assert_eq!(merged, whole(&folder));
}

#[test]
fn the_commands_of_the_github_workflow_are_taken() {
    let folder = folder("github");
    let workflow = example("github-actions.yaml").remove(0);
    let command = |job: &str| -> String {
        let steps = workflow["jobs"][job]["steps"].as_sequence().expect("steps").iter();
        let mut commands = steps.filter_map(|step| step["run"].as_str()).filter(|run| run.contains("simrun"));
        commands.next().expect("it runs simrun").to_owned()
    };
    let (explore, merge) = (command("part"), command("merge"));
    let shell = |command: &str| {
        let command = command.replace("target/release/simrun", env!("CARGO_BIN_EXE_simrun")).replace("200000", "48");
        let output = Command::new("sh").args(["-c", &command]).env("FIRST", "0").current_dir(&folder).output();
        succeeds(&output.expect("it runs"));
    };
    for shard in workflow["jobs"]["part"]["strategy"]["matrix"]["shard"].as_sequence().expect("a list") {
        let shard = shard.as_u64().expect("a number").to_string();
        shell(&explore.replace("${{ matrix.shard }}", &shard));
    }
    shell(&merge);
    assert_eq!(outcome(&folder.join("all.json")), whole(&folder));
}

#[test]
fn a_folder_without_results_is_told() {
    let folder = folder("no_results");
    let output = simrun(["explore", "merge", &folder.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no .json file is in it"));
}
