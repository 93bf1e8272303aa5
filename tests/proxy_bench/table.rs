//! Rows of figures: what was measured, of the daemon and of the floor.
use crate::floor;

#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

struct Row {
    what: String,
    daemon: Vec<f64>,
    floor: Vec<f64>,
}

impl Table {
    pub(crate) fn add(&mut self, what: &str, server: &str, figure: f64) {
        let at = self.0.iter().position(|row| row.what == what);
        let at = at.unwrap_or_else(|| {
            self.0.push(Row {
                what: what.to_owned(),
                daemon: vec![],
                floor: vec![],
            });
            self.0.len() - 1
        });
        let row = &mut self.0[at];
        match server {
            floor::NAME => row.floor.push(figure),
            _ => row.daemon.push(figure),
        }
    }

    /// Prints the medians, and forgets.
    pub(crate) fn print(&mut self) {
        for mut row in self.0.drain(..) {
            let (daemon, floor) = (median(&mut row.daemon), median(&mut row.floor));
            println!(
                "  {:44} mwid {daemon:9.2}, floor {floor:9.2}: {:5.2} times",
                row.what,
                daemon / floor
            );
        }
    }
}

pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
