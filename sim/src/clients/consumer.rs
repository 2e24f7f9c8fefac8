//! Members of the consumer group: the client of `kroxy demo`.

use super::{Client, Phase, reaches};
use crate::{limits, topology};
use runtime::demo::client::{self, Consumer, ConsumerSpec};
use tokio::sync::{mpsc, watch};

/// Reads until the world says that all was read; whatever goes wrong, it begins again.
pub(super) async fn run(me: Client) {
    let spec = ConsumerSpec { group: topology::GROUP.to_owned(), topic: topology::ORDERS.to_owned() };
    loop {
        let kafka = client::Client::new(me.net.clone(), &me.name, me.bootstraps(), limits::PATIENCE);
        let (deliveries, mut delivered) = mpsc::channel(16);
        let (leave, leaving) = watch::channel(false);
        let mut phase = me.phase.clone();
        let mut told = false;
        let ended = {
            let mut consuming = std::pin::pin!(Consumer::new(kafka, &spec).run(deliveries, leaving));
            loop {
                tokio::select! {
                    biased;
                    Some(delivery) = delivered.recv() => {
                        let place = me.place(topology::ORDERS, delivery.partition);
                        for record in delivery.records {
                            me.history.consumed(place, record.offset, record.value);
                        }
                    }
                    ended = &mut consuming => break ended,
                    () = reaches(&mut phase, Phase::Leave), if !told => {
                        told = true;
                        leave.send_replace(true);
                    }
                }
            }
        };
        me.note(format_args!("consumer ended: {ended:?}"));
        if told {
            break;
        }
    }
    me.done();
}
