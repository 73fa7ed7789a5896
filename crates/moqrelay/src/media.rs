//! MoQ over a WebSocket: `control` has the port, `relay` the session.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use moqrelay_control::media::{Admitted, Knock, MediaDoor, MediaSocket, Turned};
use moqrelay_relay::{Server, fallback};

/// Lets clients in to the relay's sessions.
pub(crate) fn door(server: Server) -> MediaDoor {
    MediaDoor(Arc::new(move |knock: Knock| {
        let knock = fallback::Knock {
            peer: knock.address,
            offered: knock.offered,
            query: knock.query,
            authorization: knock.authorization,
        };
        let visitor = server.knock(knock).map_err(|refused| Turned {
            status: refused.status(),
            reason: refused.to_string(),
        })?;
        Ok(Admitted {
            subprotocol: visitor.subprotocol().to_owned(),
            run: Box::new(|socket| Box::pin(visitor.enter(Socket(socket)))),
        })
    }))
}

struct Socket(MediaSocket);

impl fallback::Socket for Socket {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_receive(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.0.poll_ready(cx)
    }

    fn send(&mut self, message: Bytes) {
        self.0.send(message);
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_close(cx)
    }
}
