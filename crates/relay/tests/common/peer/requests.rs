//! Subscriptions, publications, and what becomes of them.

use bytes::Bytes;
use moqrelay_moqt::{
    self as moqt, Event, FullTrackName, Namespace, Parameters, PublishDoneCode, RequestCode,
    RequestId, RequestOk, ResetCode, SubscribeAnswer, SubscribeOptions, TrackAlias,
};

use super::Peer;

impl Peer {
    pub async fn subscribe(&mut self, track: &FullTrackName, params: Parameters) -> RequestId {
        let id = self
            .machine
            .subscribe(track.clone(), SubscribeOptions { params })
            .unwrap();
        self.flush().await;
        id
    }

    /// Subscribes and waits for the answer.
    pub async fn subscribed(
        &mut self,
        track: &FullTrackName,
        params: Parameters,
    ) -> (RequestId, Parameters, Bytes) {
        let wanted = self.subscribe(track, params).await;
        self.event_of(|event| match event {
            Event::SubscribeOk {
                id,
                params,
                properties,
                ..
            } if id == wanted => Some((id, params, properties)),
            Event::Rejected { error, .. } => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    /// Waits until a request is refused and returns the code.
    pub async fn rejected(&mut self, wanted: RequestId) -> RequestCode {
        self.event_of(|event| match event {
            Event::Rejected { id, error } if id == wanted => Some(error.code),
            _ => None,
        })
        .await
    }

    /// Waits until a request is accepted.
    pub async fn accepted(&mut self, wanted: RequestId) -> (Parameters, Bytes) {
        self.event_of(|event| match event {
            Event::Accepted {
                id,
                params,
                properties,
            } if id == wanted => Some((params, properties)),
            Event::Rejected { id, error } if id == wanted => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    /// Publishes a track and waits for the answer.
    pub async fn publish(
        &mut self,
        track: &FullTrackName,
        options: moqt::PublishOptions,
    ) -> (RequestId, TrackAlias) {
        let (id, alias) = self.machine.publish(track.clone(), options).unwrap();
        self.flush().await;
        self.accepted(id).await;
        (id, alias)
    }

    /// Publishes a namespace and waits for the answer.
    pub async fn publish_namespace(&mut self, namespace: &Namespace) -> RequestId {
        let id = self
            .machine
            .publish_namespace(namespace.clone(), Parameters::default())
            .unwrap();
        self.flush().await;
        self.accepted(id).await;
        id
    }

    /// Waits for a SUBSCRIBE and accepts it.
    pub async fn serve(
        &mut self,
        answer: SubscribeAnswer,
    ) -> (RequestId, TrackAlias, FullTrackName) {
        let (id, track) = self
            .event_of(|event| match event {
                Event::Subscribe { id, track, .. } => Some((id, track)),
                _ => None,
            })
            .await;
        let alias = self.machine.accept_subscribe(id, answer).unwrap();
        self.flush().await;
        (id, alias, track)
    }

    pub async fn accept(&mut self, id: RequestId, params: Parameters) {
        let ok = RequestOk {
            params,
            properties: Bytes::new(),
        };
        self.machine.accept(id, ok).unwrap();
        self.flush().await;
    }

    pub async fn update(&mut self, id: RequestId, params: Parameters) -> Parameters {
        self.machine.update(id, params).unwrap();
        self.flush().await;
        self.event_of(|event| match event {
            Event::Updated { id: got, params } if got == id => Some(params),
            Event::UpdateRejected { error, .. } => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    pub async fn cancel(&mut self, id: RequestId) {
        self.machine.cancel(id, ResetCode::Cancelled).unwrap();
        self.flush().await;
    }

    pub async fn done(&mut self, id: RequestId, streams: u64) {
        self.machine
            .publish_done(id, PublishDoneCode::TrackEnded, Some(streams), "over")
            .unwrap();
        self.flush().await;
    }

    /// Waits for PUBLISH_DONE: status, streams, reason.
    pub async fn publish_done(&mut self) -> (PublishDoneCode, Option<u64>, String) {
        self.event_of(|event| match event {
            Event::PublishDone {
                status,
                streams,
                reason,
                ..
            } => Some((status, streams, reason)),
            _ => None,
        })
        .await
    }
}
