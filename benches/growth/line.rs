//! What lines of different lengths cost: no shipper copies ten kilobytes at the price of fifty, so that neither an event nor a byte
//! can cost the same at each length. What can be flat are the two prices of which the cost is made: so much an event, and so much
//! a byte. That is a straight line, and each length must lie on it: one that lies above costs something that it should not.

/// What an event costs, and each of its bytes, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub event: f64,
    pub byte: f64,
}

impl Line {
    /// The line through costs by length (bytes, nanoseconds; of two lengths at least) from which they are away least: by the
    /// squares of what they are away, as a part of each cost, since a nanosecond is much of a short line and nothing of a long one.
    pub fn through(costs: &[(f64, f64)]) -> Line {
        let sum = |f: fn(f64, f64) -> f64| costs.iter().map(|(bytes, ns)| f(1.0 / ns, bytes / ns)).sum::<f64>();
        let (uu, uv, vv, u, v) = (sum(|u, _| u * u), sum(|u, v| u * v), sum(|_, v| v * v), sum(|u, _| u), sum(|_, v| v));
        let determinant = uu * vv - uv * uv;
        Line { event: (u * vv - v * uv) / determinant, byte: (v * uu - u * uv) / determinant }
    }

    /// What an event of `bytes` costs on the line, nanoseconds.
    pub fn at(&self, bytes: f64) -> f64 {
        self.event + self.byte * bytes
    }
}
