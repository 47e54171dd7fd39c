//! How fast raw output becomes a log: `cargo run --release -p piton-logs --example pump_rate [MIB]`.
//!
//! Prints the best of three for no secrets, for fifty, for fifty full of marks that every encoder writes in another way,
//! and for these where the output is base64 in lines, each as MiB per second of processor time: what the disk adds is not
//! the log's.

use std::future::ready;
use std::io::Write;

use piton_logs::{LogStore, Redactor};
use rustix::time::{ClockId, clock_gettime};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(256), |mib| mib.parse())?;
    let dir = tempfile::tempdir()?;
    let words = "module.network.aws_subnet.private[3]: Refreshing state... [id=subnet-0a1b2c3d4e5f]\n";
    let base64 = format!("{}\n", "QmFzZTY0".repeat(9));
    let plain = |n: u32| format!("secret/{:08x}", n.wrapping_mul(0x9e37_79b9));
    let marked = |n: u32| format!("{:08x}/+='\"$& <\\>{n}~#", n.wrapping_mul(0x9e37_79b9));
    let cases: [(&str, &str, Vec<String>); 4] = [
        ("none", words, vec![]),
        ("plain", words, (0..50).map(plain).collect()),
        ("marked", words, (0..50).map(marked).collect()),
        ("marked, base64", &base64, (0..50).map(marked).collect()),
    ];
    let raw = dir.path().join("raw");
    for (case, line, secrets) in cases {
        std::fs::write(&raw, line.repeat((mib << 20) / line.len()))?;
        let mut best = f64::INFINITY;
        for round in 0..3 {
            let store = LogStore::new(dir.path().join("runs"));
            let run = format!("0193a5c0-0000-7000-8000-{round:012}").parse()?;
            let redactor = Redactor::new(secrets.clone());
            let section = store.open(run, redactor).await?.section("a", "$ a").await?;
            let start = processor_seconds();
            section.pump(&raw, ready(())).await?;
            best = best.min(processor_seconds() - start);
            store.remove(run).await?;
        }
        writeln!(
            std::io::stdout(),
            r#"{{"case":"{case}","secrets":{},"mib_per_s":{:.0}}}"#,
            secrets.len(),
            mib as f64 / best
        )?;
    }
    Ok(())
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
