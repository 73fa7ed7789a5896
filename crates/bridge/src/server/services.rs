//! The built-in parties: how they begin.

use moqrelay_relay::{FullTrackName, PublishError};
use tokio::{sync::mpsc, time::Instant};
use tracing::Instrument as _;

use super::{Handle, LEG_COMMANDS_MAX, Outcome, Server};
use crate::{
    LegId, Place, Service,
    leg::Reason,
    publication::Publication,
    service::{Hall, echo},
};

impl Server {
    pub(super) fn start(
        &mut self,
        leg: LegId,
        service: Service,
        place: &Place,
        source: Option<FullTrackName>,
    ) {
        if self.listener.is_none()
            || self.legs.len() >= self.config.legs_max
            || self.legs.contains_key(&leg)
        {
            tracing::warn!(%leg, ?service, "not started: too many legs, or we end");
            return self.detached(leg, Reason::Refused);
        }
        tracing::info!(%leg, ?service, room = place.room(), participant = place.participant(), "service begins");
        let handle = match service {
            Service::Echo => self.start_echo(leg, place, source),
            Service::Milliwatt => match self.start_milliwatt(leg, place) {
                Ok(handle) => handle,
                Err(error) => {
                    tracing::warn!(%leg, %error, "not started");
                    return self.detached(leg, Reason::Refused);
                }
            },
        };
        self.legs.insert(leg, handle);
        self.around.meters.legs(self.legs.len());
    }

    fn start_echo(&mut self, leg: LegId, place: &Place, source: Option<FullTrackName>) -> Handle {
        let (commands, told) = mpsc::channel(LEG_COMMANDS_MAX);
        let catalog = self.around.coding.catalog();
        let life = echo(
            self.around.relay.clone(),
            place.clone(),
            catalog,
            source,
            told,
        );
        let life = async move {
            life.await;
            Outcome::Echo(leg)
        };
        let task = self
            .tasks
            .spawn(life.instrument(tracing::info_span!("echo", %leg, room = place.room())));
        self.task_legs.insert(task.id(), leg);
        Handle::Echo { commands }
    }

    fn start_milliwatt(&mut self, leg: LegId, place: &Place) -> Result<Handle, PublishError> {
        let catalog = self.around.coding.catalog();
        let publication = Publication::open(&self.around.relay, place, &catalog, Instant::now())?;
        self.enter_hall(leg, publication);
        Ok(Handle::Milliwatt)
    }

    /// The hall's task exists from its first member on.
    fn enter_hall(&mut self, leg: LegId, publication: Publication) {
        let Self {
            hall,
            tasks,
            around,
            ..
        } = self;
        let hall = hall.get_or_insert_with(|| {
            let (hall, task) = Hall::new(around.coding);
            tasks.spawn(async move {
                task.await;
                Outcome::Hall
            });
            hall
        });
        hall.enter(leg, publication);
    }
}
