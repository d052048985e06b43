//! The same as the example `bulk` by hickory-resolver itself, 2,000 questions in flight, to
//! compare with:
//!
//!     cargo run --release -p kudzu-dns --example hickory -- 127.0.0.1:53 < names.txt

use std::io::{BufRead as _, BufWriter, Write as _};
use std::net::SocketAddr;

use futures::{StreamExt as _, stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;

#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Questions at a time.
const IN_FLIGHT: usize = 2000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server: SocketAddr = std::env::args().nth(1).ok_or("give a server as ADDRESS:PORT")?.parse()?;
    let mut upstream = NameServerConfig::udp_and_tcp(server.ip());
    upstream.connections.iter_mut().for_each(|c| c.port = server.port());
    let config = ResolverConfig::from_name_servers(vec![upstream]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    (options.cache_size, options.num_concurrent_reqs, options.use_hosts_file) = (0, 1, ResolveHosts::Never);
    let resolver = builder.build()?;
    let names: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let lookup = |name: String| {
        let resolver = resolver.clone();
        async move { resolver.lookup(format!("{name}."), RecordType::A).await }
    };
    let mut answers = stream::iter(names).map(lookup).buffer_unordered(IN_FLIGHT);
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some(answer) = answers.next().await {
        if let Ok(answer) = answer {
            for record in answer.answers() {
                writeln!(out, "{} {} {}", record.name, record.record_type(), record.data)?;
            }
        }
    }
    Ok(out.flush()?)
}
