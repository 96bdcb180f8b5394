//! Runs of scenarios, on both engines.
//!
//! - `light_demo`: the demo, three programs and forty simulated seconds.
//! - `small`: three clients, a simulated minute, twelve messages at QoS 1 to two subscribers. Beside it turmoil without
//!   simrun doing about as much: three hosts, and over a simulated minute twelve small messages from one by way of the
//!   second to the third, on TCP, in ticks of a millisecond.
//! - `idle`: three clients that are connected for a simulated minute; the throughput is simulated seconds.
//! - `clients`: 10, 100 and 1,000 of them, twelve messages at QoS 1 from one to all others, on the direct engine; the
//!   throughput is clients.
//! - `explored`: what `simrun explore` does with a seed: draw, read, run, and hold against rules and history. `small` under
//!   random faults, and the built-in workload; of the latter also its parts.
//! - `watched`: 10, 100 and 1,000 clients as above, held against rules and history.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use simrun::explore::{Plan, Source, examine};
use simrun::scenario::{Scenario, judge, parse, read};
use simrun::sim::{Engine, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

const ENGINES: [Engine; 2] = [Engine::Direct, Engine::Turmoil];

fn light_demo(c: &mut Criterion) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/light_demo.yaml");
    let scenario = read(file.as_ref()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let mut group = c.benchmark_group("light_demo");
    for engine in ENGINES {
        bench(&mut group, BenchmarkId::from_parameter(engine), &scenario, engine);
    }
}

fn small(c: &mut Criterion) {
    let scenario = small_scenario();
    let mut group = c.benchmark_group("small");
    for engine in ENGINES {
        bench(&mut group, BenchmarkId::from_parameter(engine), &scenario, engine);
    }
    group.sample_size(10).bench_function("turmoil alone", |b| b.iter(turmoil_alone));
}

fn idle(c: &mut Criterion) {
    let clients = "clients: { sensor: {}, lamp: { subscribe: { light: 1 } }, phone: { subscribe: { light: 1 } } }";
    let never = "- { by: 60s, expect: [{ client: lamp, event: told, count: 0 }] }";
    let scenario = scenario(&format!("{clients}\ntimeline:\n{never}\n"));
    let mut group = c.benchmark_group("idle");
    group.throughput(Throughput::Elements(60));
    for engine in ENGINES {
        bench(&mut group, BenchmarkId::from_parameter(engine), &scenario, engine);
    }
}

fn clients(c: &mut Criterion) {
    let mut group = c.benchmark_group("clients");
    for count in [10, 100, 1_000] {
        group.throughput(Throughput::Elements(count));
        bench(&mut group, BenchmarkId::from_parameter(count), &many_clients(count), Engine::Direct);
    }
}

fn many_clients(count: u64) -> Scenario {
    let lamps = count - 1;
    let clients = format!("clients: {{ sensor: {{}}, lamp: {{ count: {lamps}, subscribe: {{ light: 1 }} }} }}");
    let heard = format!("{{ event: told, topic: light, count: {} }}", 12 * lamps);
    scenario(&format!("{clients}\n{}", timeline(&heard)))
}

fn explored(c: &mut Criterion) {
    let mut group = c.benchmark_group("explored");
    let small = Plan::of_text("small", small_text().as_bytes());
    let small = Source::Scenario(small.unwrap_or_else(|diagnosis| panic!("{diagnosis}")));
    for (name, source) in [("small", &small), ("workload", &Source::Workload)] {
        let mut seed = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                seed += 1;
                examine(&runnable(source, seed))
            });
        });
    }
    let mut seed = 0;
    group.bench_function("workload, drawn and read only", |b| {
        b.iter(|| {
            seed += 1;
            runnable(&Source::Workload, seed)
        });
    });
    let scenarios: Vec<Scenario> = (0..200).map(|seed| runnable(&Source::Workload, seed)).collect();
    let mut next = scenarios.iter().cycle();
    group.bench_function("workload, run only", |b| {
        b.iter(|| {
            let scenario = next.next().expect("they go round");
            black_box(run(scenario, scenario.seed, Engine::Direct))
        });
    });
}

fn runnable(source: &Source, seed: u64) -> Scenario {
    source.plan(seed).runnable().expect("drawn plans are scenarios")
}

fn watched(c: &mut Criterion) {
    let mut group = c.benchmark_group("watched");
    for count in [10, 100, 1_000] {
        group.throughput(Throughput::Elements(count));
        let scenario = many_clients(count);
        group.sample_size(20).bench_function(BenchmarkId::from_parameter(count), |b| b.iter(|| examine(&scenario)));
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn bench(group: &mut Group<'_>, id: BenchmarkId, scenario: &Scenario, engine: Engine) {
    let run = run(scenario, 1, engine);
    let failed = judge(scenario, &run.trace).into_iter().find(|verdict| !verdict.held);
    assert!(failed.is_none(), "{failed:?}");
    let mut seed = 0;
    group.sample_size(if engine == Engine::Direct { 50 } else { 10 });
    group.bench_function(id, |b| {
        b.iter(|| {
            seed += 1;
            black_box(simrun::sim::run(scenario, seed, engine))
        });
    });
}

fn small_scenario() -> Scenario {
    scenario(&small_text())
}

fn small_text() -> String {
    let clients = "clients: { sensor: {}, lamp: { subscribe: { light: 1 } }, phone: { subscribe: { light: 1 } } }";
    format!("{clients}\n{}", timeline("{ event: told, topic: light, count: 24 }"))
}

/// Twelve messages in a minute, and what is to be heard of them.
fn timeline(heard: &str) -> String {
    let message = |n: u32| {
        format!("- {{ at: {}s, publish: {{ from: sensor, topic: light, payload: on, qos: 1 }} }}\n", n * 4 + 1)
    };
    let messages: String = (1..=12).map(message).collect();
    format!("timeline:\n{messages}- {{ by: 60s, expect: [{heard}] }}\n")
}

fn scenario(text: &str) -> Scenario {
    parse("bench", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario
}

const PORT: u16 = 1883;
const MESSAGE: [u8; 16] = [7; 16];

/// Twelve messages from a sender by way of a relay to a listener, each answered, five seconds apart.
fn turmoil_alone() {
    let mut sim = turmoil::Builder::new()
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::from_secs(120))
        .build();
    sim.host("listener", || echo(None));
    sim.host("relay", || echo(Some("listener")));
    sim.client("sender", async {
        let mut stream = TcpStream::connect(("relay", PORT)).await?;
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stream.write_all(&MESSAGE).await?;
            let mut answer = MESSAGE;
            stream.read_exact(&mut answer).await?;
        }
        Ok(())
    });
    sim.run().unwrap_or_else(|error| panic!("{error}"));
}

/// Sends what comes back, after the next host has had it, if there is one.
async fn echo(next: Option<&'static str>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (mut stream, _) = listener.accept().await?;
    let mut next = match next {
        Some(name) => Some(TcpStream::connect((name, PORT)).await?),
        None => None,
    };
    let mut message = MESSAGE;
    while stream.read_exact(&mut message).await.is_ok() {
        if let Some(next) = &mut next {
            next.write_all(&message).await?;
            next.read_exact(&mut message).await?;
        }
        stream.write_all(&message).await?;
    }
    std::future::pending().await
}

criterion_group!(benches, light_demo, small, idle, clients, explored, watched);
criterion_main!(benches);
