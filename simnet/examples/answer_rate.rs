//! Measures how many answers a second of one core gives: the clock is the CPU time of the DNS thread, so
//! that the client on the same machine does not count.
#![expect(clippy::print_stdout, reason = "the figure is the purpose")]

use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use kudzu_simnet::{Faults, ListenConfig, Name, Server, World, WorldSpec};

const QUESTIONS: usize = 1_000_000;
/// Questions on the way at a time.
const WINDOW: usize = 2_000;
/// Kernel ticks of CPU time in a second, as Linux shows them to programs.
const TICKS: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let world = World::generate(&WorldSpec::default());
    let questions = questions(&world);
    let latency =
        std::env::args().nth(1).and_then(|a| a.parse().ok()).map_or(Duration::ZERO, Duration::from_millis);
    let server = runtime.block_on(Server::start(
        world,
        Faults { latency, ..Faults::default() },
        ListenConfig::default(),
    ))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.addrs().dns[0])?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let (begin, cpu) = (Instant::now(), thread_cpu()?);
    let (mut sent, mut received) = (0, 0);
    let mut buffer = [0; 2048];
    while received < QUESTIONS {
        while sent < QUESTIONS && sent - received < WINDOW {
            socket.send(&questions[sent % questions.len()])?;
            sent += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(_) => received += 1,
            Err(_) if sent == QUESTIONS => break,
            // What was lost is not asked again; the window goes on.
            Err(_) => received = sent,
        }
    }
    let used = thread_cpu()? - cpu;
    let answered = server.stats().dns_answered;
    println!(
        "answered {answered} in {:.2} s of wall clock, {used:.2} s of the thread",
        begin.elapsed().as_secs_f64()
    );
    println!("{:.0} answers a second of one core", answered as f64 / used);
    runtime.block_on(server.stop());
    Ok(())
}

/// Six types of many names.
fn questions(world: &World) -> Vec<Vec<u8>> {
    let mut names: Vec<String> = Vec::new();
    for row in world.pdns(&world.seeds()[0], 500).rows {
        for row in world.pdns(&row.rrname, 10).rows.iter().filter(|r| r.rrtype == "A") {
            names.extend(world.pdns(&row.rdata, 200).rows.into_iter().map(|r| r.rrname));
        }
    }
    let names = names.iter().filter_map(|n| Name::from_text(n));
    let mut questions = Vec::new();
    for name in names {
        for qtype in [1_u8, 28, 2, 15, 16, 6] {
            let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
            question.extend_from_slice(name.as_wire());
            question.extend_from_slice(&[0, qtype, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
            questions.push(question);
        }
    }
    questions
}

/// Seconds of CPU that the DNS thread has used.
fn thread_cpu() -> Result<f64, Box<dyn Error>> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        if let Some(rest) = stat.split_once("(simnet-dns-0) ").map(|(_, rest)| rest) {
            let fields: Vec<&str> = rest.split(' ').collect();
            let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
            return Ok(ticks / TICKS);
        }
    }
    Err("no DNS thread".into())
}
