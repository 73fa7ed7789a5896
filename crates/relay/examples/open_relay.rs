//! A relay in which everyone may do everything, for trying other implementations against it.
//!
//! `cargo run --example open_relay -- 127.0.0.1:4443` (the address is optional; keep it on loopback).
//! Prints a line of JSON: the port, and the certificate's hash for a browser's `serverCertificateHashes`.
//! A line `goaway URI` on its standard input asks everybody to go there, and ends it when they have.
#![allow(clippy::print_stdout, reason = "the line is what the program is for")]

use std::{
    io::BufRead,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use moqrelay_relay::{
    AuthError, Authorize, Config, Grants, Limits, Relay, ServerConfig, server, tls,
};

/// How long clients may take to leave.
const LEAVE_TIME: Duration = Duration::from_secs(10);

struct Anyone;

impl Authorize for Anyone {
    fn authorize(&self, _token: Option<&str>) -> Result<Grants, AuthError> {
        Ok(Grants::everything())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen: SocketAddr = match std::env::args().nth(1) {
        Some(addr) => addr.parse()?,
        None => "127.0.0.1:4443".parse()?,
    };
    let names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    let relay = Relay::new(Config::default());
    let config = ServerConfig {
        listen,
        tls: tls::development(names, SystemTime::now())?,
        authorize: Arc::new(Anyone),
        limits: Limits::default(),
        workers: std::thread::available_parallelism()?,
    };
    let (server, workers) = server(&relay, config)?;
    let address = server.local_addr();
    let hash: String = server
        .identity()
        .hashes()
        .first()
        .into_iter()
        .flatten()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("{{\"port\": {}, \"hash\": \"{hash}\"}}", address.port());
    // The end of the input means nothing: whoever starts the relay may have none to give.
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
        if let Some(line) = lines.find(|line| line.starts_with("goaway")) {
            let uri = line.trim_start_matches("goaway").trim();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            if let Ok(runtime) = runtime {
                runtime.block_on(server.drain(uri, LEAVE_TIME));
            }
        }
    });
    let threads: Vec<_> = workers
        .into_iter()
        .map(|worker| std::thread::spawn(|| worker.run_here()))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a worker has failed")??;
    }
    Ok(())
}
