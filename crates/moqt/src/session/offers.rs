//! Draft 14 has no NAMESPACE: who asked with SUBSCRIBE_NAMESPACE is told by PUBLISH_NAMESPACE, a request of its own.
//!
//! These requests stay within the session: the application tells and hears of namespaces as in later drafts.

use crate::{
    CallError, Message, Namespace, Parameters, RequestId, RequestOk, ResetCode, SubscribePrefix,
    draft::Layout,
};

use super::{
    Event, Session,
    fault::Fault,
    request::{Kind, Phase, Side},
};

impl Session {
    /// Tells a peer's SUBSCRIBE_NAMESPACE of a namespace.
    pub(super) fn tell_by_offer(
        &mut self,
        told_to: RequestId,
        namespace: Namespace,
    ) -> Result<(), CallError> {
        let message = Message::PublishNamespace(SubscribePrefix {
            id: self.next_request,
            prefix: namespace.clone(),
            params: Parameters::default(),
        });
        let kind = Kind::PublishNamespace {
            namespace,
            told_to: Some(told_to),
        };
        self.open(kind, &message)?;
        Ok(())
    }

    /// Takes back what [`tell_by_offer`](Self::tell_by_offer) told.
    pub(super) fn withdraw_offer(&mut self, told_to: RequestId, namespace: &Namespace) {
        if let Some(id) = self.offers_to(Side::Ours, told_to, Some(namespace)).first() {
            self.abort(*id, ResetCode::Cancelled);
        }
    }

    /// Ends everything that a request about namespaces was told, or has told us.
    pub(super) fn withdraw_told(&mut self, told_to: RequestId) {
        if self.config.draft.table().layout != Layout::Fields {
            return;
        }
        for id in self.offers_to(Side::Ours, told_to, None) {
            self.abort(id, ResetCode::Cancelled);
        }
        for id in self.offers_to(Side::Peers, told_to, None) {
            self.forget(id);
        }
    }

    /// Returns the request of ours that a PUBLISH_NAMESPACE of the peer answers.
    pub(super) fn asked_for(&self, namespace: &Namespace) -> Option<RequestId> {
        if self.config.draft.table().layout != Layout::Fields {
            return None;
        }
        let asked = self.requests.iter().find(|(_, request)| {
            request.side == Side::Ours
                && request
                    .prefix()
                    .is_some_and(|prefix| prefix.is_prefix_of(namespace))
        });
        asked.map(|(id, _)| *id)
    }

    /// Accepts a PUBLISH_NAMESPACE that answers a request of ours, as if it were NAMESPACE.
    pub(super) fn receive_told(
        &mut self,
        id: RequestId,
        told_to: RequestId,
        namespace: &Namespace,
    ) -> Result<(), Fault> {
        // It has no content, so writing it cannot fail.
        if self
            .write(id, &Message::RequestOk(RequestOk::default()))
            .is_ok()
            && let Some(request) = self.requests.get_mut(&id)
        {
            request.phase = Phase::Established;
        }
        let namespaces_max = self.config.limits.namespaces_max;
        let Some(asked) = self.requests.get_mut(&told_to) else {
            return Ok(());
        };
        let Kind::SubscribeNamespace { prefix, told } = &mut asked.kind else {
            return Ok(());
        };
        let Some(suffix) = namespace.strip_prefix(prefix) else {
            return Ok(());
        };
        if !told.insert(namespace.clone()) {
            return Ok(());
        }
        if told.len() > namespaces_max {
            self.end_by_us(told_to, ResetCode::ExcessiveLoad);
            return Ok(());
        }
        self.event(Event::Namespace {
            id: told_to,
            suffix,
        });
        Ok(())
    }

    /// The peer takes such a PUBLISH_NAMESPACE back, or does not want one of ours any more.
    pub(super) fn receive_told_done(&mut self, told_to: RequestId, namespace: &Namespace) {
        let Some(asked) = self.requests.get_mut(&told_to) else {
            return;
        };
        let ours = asked.side == Side::Ours;
        let Kind::SubscribeNamespace { prefix, told } = &mut asked.kind else {
            return;
        };
        if !ours || !told.remove(namespace) {
            return;
        }
        if let Some(suffix) = namespace.strip_prefix(prefix) {
            self.event(Event::NamespaceDone {
                id: told_to,
                suffix,
            });
        }
    }

    /// Returns the requests of a side that stand for NAMESPACE in answer to `told_to`.
    fn offers_to(&self, side: Side, to: RequestId, about: Option<&Namespace>) -> Vec<RequestId> {
        let told = self.requests.iter().filter(|(_, request)| {
            let Kind::PublishNamespace { namespace, told_to } = &request.kind else {
                return false;
            };
            request.side == side
                && *told_to == Some(to)
                && about.is_none_or(|about| about == namespace)
        });
        told.map(|(id, _)| *id).collect()
    }
}
