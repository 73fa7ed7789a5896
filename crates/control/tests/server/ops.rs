//! Metrics and health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moqrelay_control::{Ops, serve_ops};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::world::{patient, raw_http};

#[tokio::test]
async fn metrics_and_health_are_what_the_daemon_says() {
    let ready = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let of_daemon = ready.clone();
    let ops = Ops {
        metrics: Arc::new(|| "calls 3\n".into()),
        ready: Arc::new(move || {
            let ready = of_daemon.load(Ordering::Relaxed);
            if ready {
                Ok(())
            } else {
                Err("draining".into())
            }
        }),
    };
    let served = tokio::spawn(serve_ops(listener, ops, async move { _ = stopped.await }));
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        async move { raw_http(address, request.as_bytes()).await }
    };

    let metrics = get("/metrics").await;
    assert_eq!(
        (metrics.status, metrics.text().as_str()),
        (200, "calls 3\n")
    );
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(
        (
            get("/health/live").await.status,
            get("/health/ready").await.status
        ),
        (200, 200)
    );
    ready.store(false, Ordering::Relaxed);
    let unready = get("/health/ready").await;
    assert_eq!(
        (unready.status, unready.text().as_str()),
        (503, "draining\n")
    );
    assert_eq!(
        (get("/health/live").await.status, get("/").await.status),
        (200, 404)
    );

    stop.send(()).unwrap();
    patient(served).await.unwrap().unwrap();
}
