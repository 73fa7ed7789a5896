//! How a service is served: what is between gRPC and a function from questions to answers.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use moqrelay_processor::v1::{Answer, FromProcessor, FromRelay, Question, SERVICE};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, BoxStream, Context, Poll, Service, http},
    metadata::MetadataMap,
    server::{Grpc, NamedService, StreamingService},
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

/// What one stream's questions are answered with.
pub(crate) type Answers = Box<dyn FnMut(Question) -> Vec<Answer> + Send>;

/// Begins a stream, or refuses it.
pub(crate) type Begin = Arc<dyn Fn(&MetadataMap) -> Result<Answers, Status> + Send + Sync>;

/// Serves streams until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    begin: Begin,
) -> Result<(), tonic::transport::Error> {
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls)?;
    }
    server
        .add_service(Processor { begin })
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
}

#[derive(Clone)]
struct Processor {
    begin: Begin,
}

impl NamedService for Processor {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Processor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let streams = Streams(self.begin.clone());
        Box::pin(async move {
            let codec = ProstCodec::<FromProcessor, FromRelay>::default();
            Ok(Grpc::new(codec).streaming(streams, request).await)
        })
    }
}

struct Streams(Begin);

impl StreamingService<FromRelay> for Streams {
    type Response = FromProcessor;
    type ResponseStream = BoxStream<FromProcessor>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<FromRelay>>) -> Self::Future {
        ready((self.0)(request.metadata()).map(|mut answers| {
            let said = request.into_inner().flat_map(move |message| {
                let said = match message {
                    Ok(message) => message.what.map(&mut answers).unwrap_or_default(),
                    Err(_) => Vec::new(),
                };
                let said = said
                    .into_iter()
                    .map(|what| Ok(FromProcessor { what: Some(what) }));
                stream::iter(said)
            });
            let said: BoxStream<FromProcessor> = Box::pin(said);
            Response::new(said)
        }))
    }
}
