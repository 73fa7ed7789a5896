//! How a FETCH is accepted: at once, or in draft 14 when it is known that there is something.

use moqrelay_moqt::{
    CallError, Draft, FetchAnswer, RequestCode, RequestError, RequestId, ResetCode,
};

use super::{Outcome, Serving};
use crate::{session::Driver, track};

impl Driver {
    /// Sends FETCH_OK, at once or with the first object.
    pub(super) fn say_accepted(
        &mut self,
        serving: &mut Serving,
        mut answer: FetchAnswer,
    ) -> Result<(), CallError> {
        serving.accepted = true;
        self.shared.meters().fetches.add(1);
        let properties = track::track_properties(serving.draft, &answer.properties);
        answer.properties = properties;
        answer.params.group_order = Some(serving.span.order);
        if serving.draft == Draft::D14 {
            serving.held = Some(answer);
            return Ok(());
        }
        self.accept_fetch(serving.request, answer)
    }

    fn accept_fetch(&mut self, request: RequestId, answer: FetchAnswer) -> Result<(), CallError> {
        let accepted = self.machine.accept_fetch(request, answer);
        accepted.inspect_err(|error| tracing::debug!(%error, "cannot accept a FETCH"))
    }

    /// Says what draft 14 says late: that there are objects, that there are none, or that nobody knows.
    pub(super) fn say_late(&mut self, serving: &mut Serving, outcome: Outcome) -> Outcome {
        if serving.unsayable {
            if serving.held.is_none() {
                return Outcome::Failed(ResetCode::UnknownObjectStatus);
            }
            let reason = "what is in this range is not known";
            let error = RequestError::new(RequestCode::UnknownStatus, reason);
            return Outcome::Refused(Box::new(error));
        }
        if serving.has_objects
            && let Some(answer) = serving.held.take()
            && self.accept_fetch(serving.request, answer).is_err()
        {
            return Outcome::Failed(ResetCode::InternalError);
        }
        if matches!(outcome, Outcome::Done) && serving.held.is_some() {
            let error = RequestError::new(RequestCode::NoObjects, "no object is in this range");
            return Outcome::Refused(Box::new(error));
        }
        outcome
    }
}
