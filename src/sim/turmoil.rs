//! The engine that runs each machine as a program on turmoil's simulated network, with the same stream code as on real
//! sockets. The only file that names turmoil.
//!
//! The broker has a host; so has each of the first clients that a fault names; the other clients share one, because a
//! tick costs with the number of hosts. Faults act as on real sockets (`play`); only latency is turmoil's.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

use super::ending::Ending;
use super::faults::{Blow, Fault, faults};
use super::guest::{self, Guests};
use super::network::Place;
use super::play::{Play, World, live, serve};
use super::stage::Shared;
use super::{Engine, Run, names};
use crate::link::LinkId;
use crate::scenario::{Scenario, setup};
use crate::time::Time;
use crate::trace::Name;

/// turmoil goes in whole milliseconds; other ticks bend its time.
const TICK: Duration = Duration::from_millis(1);
/// So many hosts a run has at most: what a tick costs grows with them.
const HOSTS: usize = 9;
const BROKER_HOST: &str = "broker";

/// Runs a scenario, some of whose clients may be programs of the user's.
pub(super) fn run(scenario: &Scenario, seed: u64, guests: &Guests) -> Run {
    let names = names(scenario);
    let stage = Shared::new(seed, names.clone(), &scenario.network, 1.0);
    let play = Play::new(scenario, seed, None, &stage, Simulated { port: setup::port(&scenario.broker) });
    let faults = faults(scenario, &names);
    let mut sim = build(scenario, seed);
    let hosts = add_hosts(&mut sim, &play, &names, &faults, guests);

    let mut ending = Ending::of(scenario);
    let mut faults = VecDeque::from(faults);
    let mut run = Run::new(Engine::Turmoil, seed);
    loop {
        let now = Time::after(sim.elapsed());
        while faults.front().is_some_and(|fault| fault.at <= now) {
            let Some(fault) = faults.pop_front() else { break };
            stage.lock().recorder.note(now, fault.what());
            if let Blow::Latency(latency) = &fault.blow {
                for host in &hosts {
                    sim.set_link_latency(BROKER_HOST, host.as_str(), *latency.start());
                    sim.set_link_max_message_latency(BROKER_HOST, host.as_str(), *latency.end());
                }
            }
            stage.lock().befall(now, &fault.blow);
        }
        for event in stage.lock().recorder.take() {
            ending.saw(&event);
            run.trace.push(event);
        }
        let doing = stage.lock().doing();
        if ending.moment(doing.busy, doing.waiting).is_some_and(|end| end <= now) {
            run.ended = now;
            break;
        }
        if let Err(error) = sim.step() {
            // No program ends, and none fails: what they meet, their machines handle.
            unreachable!("a program on a host failed: {error}");
        }
    }
    run.packets = stage.lock().recorder.packets();
    run
}

#[allow(clippy::disallowed_types)] // turmoil wants a date to begin with, which nothing here looks at.
fn build(scenario: &Scenario, seed: u64) -> Sim<'static> {
    const CENTURIES: Duration = Duration::from_secs(400 * 365 * 24 * 3600);
    let latency = &scenario.network.latency;
    Builder::new()
        .tick_duration(TICK)
        .simulation_duration(CENTURIES)
        .epoch(std::time::SystemTime::UNIX_EPOCH)
        .rng_seed(seed)
        .min_message_latency(latency.least)
        .max_message_latency(latency.most)
        .tcp_capacity(4096)
        .build()
}

/// Puts the machines on hosts; gives back the names of the clients' hosts.
fn add_hosts(
    sim: &mut Sim<'static>,
    play: &Arc<Play<Simulated>>,
    names: &[Name],
    faults: &[Fault],
    guests: &Guests,
) -> Vec<String> {
    let befallen = |name: &Name| faults.iter().any(|fault| fault.names.contains(name));
    let alone: Vec<Place> = (1..names.len()).filter(|client| befallen(&names[*client])).take(HOSTS - 2).collect();
    let broker = play.clone();
    sim.host(BROKER_HOST, move || {
        let play = broker.clone();
        async move {
            serve(play).await;
            Ok(())
        }
    });
    let mut hosts = Vec::new();
    let mut groups: Vec<Vec<Place>> = alone.iter().map(|client| vec![*client]).collect();
    groups.push((1..names.len()).filter(|client| !alone.contains(client)).collect());
    for (number, group) in groups.into_iter().enumerate().filter(|(_, group)| !group.is_empty()) {
        let host = format!("clients-{number}");
        hosts.push(host.clone());
        let play = play.clone();
        let group: Vec<_> = group.into_iter().map(|client| (client, names[client].clone())).collect();
        let guests = guests.clone();
        sim.host(host, move || {
            let (play, group, guests) = (play.clone(), group.clone(), guests.clone());
            async move {
                let mut programs = tokio::task::JoinSet::new();
                for (client, name) in group {
                    match guests.program(&name) {
                        Some(program) => programs.spawn(guest::host(play.clone(), client, name, program)),
                        None => programs.spawn(live(play.clone(), client)),
                    };
                }
                while let Some(ended) = programs.join_next().await {
                    ended?;
                }
                Ok(())
            }
        });
    }
    hosts
}

/// turmoil's network. The programs on its hosts find out where they are by themselves.
#[derive(Debug)]
pub(super) struct Simulated {
    port: u16,
}

impl World for Simulated {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now(&self) -> Time {
        Time::after(turmoil::sim_elapsed().unwrap_or_default())
    }

    async fn listen(&self) -> io::Result<TcpListener> {
        TcpListener::bind(("0.0.0.0", self.port)).await
    }

    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => std::future::pending().await,
        }
    }

    async fn connect(&self, _link: LinkId) -> io::Result<(TcpStream, SocketAddr)> {
        let connected = TcpStream::connect((BROKER_HOST, self.port)).await;
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let stream = connected.map_err(|_| refused())?;
        let address = stream.local_addr()?;
        Ok((stream, address))
    }
}
