//! Asks one server for the addresses of every name on standard input:
//!
//!     cargo run --release -p kudzu-dns --example bulk -- 127.0.0.1:53 [IN_FLIGHT] < names.txt

#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::io::{BufRead as _, BufWriter, Write as _};
use std::net::SocketAddr;

use kudzu_dns::{Data, Engine, EngineConfig, Question, RecordType, Resolver as _, Server, Sink, name};

/// Questions in one batch.
const BATCH: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server: SocketAddr = std::env::args().nth(1).ok_or("give a server as ADDRESS:PORT")?.parse()?;
    let in_flight = std::env::args().nth(2).map_or(Ok(16_384), |n| n.parse())?;
    let config = EngineConfig { sockets: 2, in_flight, ..EngineConfig::new(vec![Server::own(server)]) };
    let engine = Engine::start(&config)?;
    let (sink, mut replies) = Sink::new(64);
    let read = async {
        let (mut batch, mut token) = (Vec::with_capacity(BATCH), 0);
        for line in std::io::stdin().lock().lines() {
            let Some(name) = name::from_text(line?.trim()) else { continue };
            batch.push(Question { token, name, qtype: RecordType::A });
            token += 1;
            if batch.len() == BATCH {
                engine.submit(std::mem::take(&mut batch), &sink).await?;
            }
        }
        engine.submit(batch, &sink).await?;
        // Once every question has its reply, the replies end.
        drop(sink);
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    let write = async {
        let mut out = BufWriter::new(std::io::stdout().lock());
        while let Some(batch) = replies.next().await {
            for record in batch.iter().flat_map(|reply| &reply.records) {
                if let Data::A(address) = record.data {
                    writeln!(out, "{} A {address}", name::to_text(&record.name))?;
                }
            }
        }
        out.flush()
    };
    let (read, written): (_, std::io::Result<()>) = tokio::join!(read, write);
    read?;
    written?;
    let mut log = std::io::stderr().lock();
    for (what, count) in engine.stats().all() {
        writeln!(log, "{what:>16} {count}")?;
    }
    writeln!(log, "{:#?}", engine.server_stats())?;
    Ok(())
}
