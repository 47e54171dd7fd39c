//! Medians and percentiles.

/// Sorted measurements.
#[derive(Debug, Clone)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// Of what was measured, in any order.
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        Spread(values)
    }

    /// The smallest value that `percent` of all do not exceed; not a number where there are none.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    pub fn max(&self) -> f64 {
        self.percentile(100.0)
    }

    pub fn min(&self) -> f64 {
        self.percentile(0.0)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        let found = [spread.min(), spread.median(), spread.percentile(99.0), spread.max()];
        assert_eq!(found.map(|value| value.to_string()), ["1", "100", "198", "200"]);
        assert!(Spread::of(vec![]).median().is_nan());
    }
}
