//! Gauges whose value is not known at times: then they are absent. A value of before would be taken for that of now.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::{Atomic, Gauge};

/// A gauge that is absent until it is set, and again when it is forgotten. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sometimes<G> {
    gauge: G,
    known: Arc<AtomicBool>,
}

impl<N, A: Atomic<N>> Sometimes<Gauge<N, A>> {
    /// It is so much now.
    pub(super) fn set(&self, value: N) {
        self.gauge.set(value);
        self.known.store(true, Ordering::Release);
    }

    /// Nobody knows how much it is.
    pub(super) fn forget(&self) {
        self.known.store(false, Ordering::Release);
    }
}

impl<G: EncodeMetric> EncodeMetric for Sometimes<G> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        if self.is_empty() { Ok(()) } else { self.gauge.encode(encoder) }
    }

    fn metric_type(&self) -> MetricType {
        self.gauge.metric_type()
    }

    fn is_empty(&self) -> bool {
        !self.known.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_nobody_knows_is_absent() {
        let mut registry = Registry::default();
        let gauge = Sometimes::<Gauge>::default();
        registry.register("seen", "What is seen", gauge.clone());
        let told = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        assert_eq!(told(), "# EOF\n");
        gauge.set(3);
        assert!(told().contains("\nseen 3\n"), "{}", told());
        gauge.forget();
        assert_eq!(told(), "# EOF\n");
    }
}
