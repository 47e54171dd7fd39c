//! Decimal numbers of any size, for sums that floats get wrong.

use num_bigint::BigInt;

use crate::function::FunctionError;

/// Digits behind the point of a quotient.
const DIVISION_PRECISION: i64 = 16;
/// No float has an exponent beyond this; sums and products of a few hundred of them stay within.
const LARGEST_EXPONENT: i64 = 100_000;

/// `value * 10^exponent`.
pub(super) struct Decimal {
    value: BigInt,
    exponent: i64,
}

impl Decimal {
    /// The shortest decimal number that is this float.
    pub(super) fn of(float: f64) -> Result<Decimal, FunctionError> {
        if !float.is_finite() {
            return Err(
                format!("Cannot create a Decimal from {}", crate::number::float::format(float, 'g', None)).into()
            );
        }
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let digits: String = mantissa.chars().filter(|char| *char != '.').collect();
        let exponent = exponent.parse::<i64>().unwrap_or(0) - fraction as i64;
        Ok(Decimal { value: digits.parse().unwrap_or_default(), exponent })
    }

    pub(super) fn to_float(&self) -> f64 {
        format!("{}e{}", self.value, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// Both over the smaller of their exponents.
    fn aligned(&self, other: &Decimal) -> (BigInt, BigInt, i64) {
        let exponent = self.exponent.min(other.exponent);
        let scale = |decimal: &Decimal| &decimal.value * power_of_ten(decimal.exponent - exponent);
        (scale(self), scale(other), exponent)
    }

    pub(super) fn add(&self, other: &Decimal) -> Decimal {
        let (a, b, exponent) = self.aligned(other);
        Decimal { value: a + b, exponent }
    }

    pub(super) fn sub(&self, other: &Decimal) -> Decimal {
        let (a, b, exponent) = self.aligned(other);
        Decimal { value: a - b, exponent }
    }

    pub(super) fn mul(&self, other: &Decimal) -> Decimal {
        let exponent = (self.exponent + other.exponent).clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT);
        Decimal { value: &self.value * &other.value, exponent }
    }

    /// Rounded half away from zero.
    pub(super) fn div(&self, other: &Decimal) -> Result<Decimal, FunctionError> {
        let zero = BigInt::ZERO;
        if other.value == zero {
            return Err("decimal division by 0".into());
        }
        let shift = self.exponent - other.exponent + DIVISION_PRECISION;
        let numerator = &self.value * power_of_ten(shift);
        let denominator = &other.value * power_of_ten(-shift);
        let quotient = &numerator / &denominator;
        let remainder = numerator - &quotient * &denominator;
        let twice = BigInt::from(remainder.magnitude().clone()) * 2;
        let value = if twice >= BigInt::from(denominator.magnitude().clone()) {
            let negative = (self.value < zero) != (other.value < zero);
            quotient + if negative { -1 } else { 1 }
        } else {
            quotient
        };
        Ok(Decimal { value, exponent: -DIVISION_PRECISION })
    }
}

/// One for negative exponents.
fn power_of_ten(exponent: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent.min(2 * LARGEST_EXPONENT)).unwrap_or(0))
}
