//! What happens in the week, and how its receivers behave. The names are made up.

use jiff::SignedDuration;

/// Customers of the platform.
pub const ENTERPRISES: [&str; 5] = [
    "Alpenblick Hotels",
    "Harbour Hostel",
    "Old Mill Guesthouse",
    "Grand Hotel Meridian",
    "Lakeside Resorts",
];

/// Partners' products.
pub const APPLICATIONS: [&str; 3] = ["Acme Keys", "Spa Planner", "Housekeeping Radar"];

/// Wings, houses and floors that are connected.
const PLACES: [&str; 12] = [
    "North Wing",
    "South Wing",
    "Annex",
    "Main House",
    "Lake Side",
    "Garden House",
    "Old Town",
    "Station",
    "Marina",
    "Spa Level",
    "Tower",
    "Courtyard",
];

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Character {
    /// Nearly always well.
    Steady,
    /// Well until the last evening; a release has broken it since.
    Broken,
    /// Down for an hour each night, and slow before and after.
    Nightly,
    /// Somebody has given it a wrong path.
    Lost,
    /// Asks for rest when much comes.
    Strict,
}

/// A webhook of the week.
#[derive(Debug)]
pub struct Webhook {
    /// Of which application, by its place.
    pub application: usize,
    /// What people call it.
    pub name: &'static str,
    /// Which of the demo's receivers it leads to: `good`, `failing` or `lost`.
    pub receiver: &'static str,
    /// The path there.
    pub path: &'static str,
    /// Its profile.
    pub profile: &'static str,
    /// How its receiver behaves.
    pub character: Character,
}

/// All of them.
pub const WEBHOOKS: [Webhook; 5] = [
    Webhook {
        application: 0,
        name: "Production",
        receiver: "good",
        path: "/acme-keys",
        profile: "2025",
        character: Character::Steady,
    },
    Webhook {
        application: 0,
        name: "Staging",
        receiver: "failing",
        path: "/acme-keys/staging",
        profile: "2025",
        character: Character::Broken,
    },
    Webhook {
        application: 1,
        name: "Planner’s inbox",
        receiver: "good",
        path: "/spa-planner",
        profile: "default",
        character: Character::Nightly,
    },
    Webhook {
        application: 1,
        name: "Loyalty bridge",
        receiver: "lost",
        path: "/loyalty/v1/hoks",
        profile: "default",
        character: Character::Lost,
    },
    Webhook {
        application: 2,
        name: "Radar",
        receiver: "good",
        path: "/radar",
        profile: "default",
        character: Character::Strict,
    },
];

/// Something that happens. Things are named by their place.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A webhook comes.
    Webhook(usize),
    /// A person holds one.
    Pause(usize, &'static str),
    /// An enterprise is connected.
    Connect {
        application: usize,
        enterprise: usize,
        name: String,
    },
    /// A command to an integration.
    Command(usize, &'static str),
}

/// The same numbers each time, so that the week is the same.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of so many.
    pub fn below(&mut self, many: usize) -> usize {
        (self.next() % many.max(1) as u64) as usize
    }

    /// In `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How an integration stands, as far as the script needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Enabled,
    Disabled,
    Canceled,
    Deleted,
}

/// All that happens, in order: when after the beginning, and what.
pub fn happenings(dice: &mut Dice) -> Vec<(SignedDuration, Happening)> {
    let hour = SignedDuration::from_hours;
    let mut all = vec![
        (hour(0), Happening::Webhook(0)),
        (hour(0), Happening::Webhook(2)),
        (hour(0), Happening::Webhook(4)),
    ];
    let mut stands: Vec<Stands> = Vec::new();
    // 168 hours; most happens by day.
    for past in 1..168_i64 {
        let of_day = past % 24;
        let many = match of_day {
            7..=9 => 1 + dice.below(2),
            10..=18 => 1 + dice.below(3),
            19..=21 => dice.below(2),
            _ => usize::from(dice.below(5) == 0),
        };
        for _ in 0..many {
            let at = hour(past) + SignedDuration::from_secs(dice.below(3600) as i64);
            all.push((at, one(dice, &mut stands)));
        }
    }
    // Others come later, and one is held before the weekend is over.
    for (at, happening) in [
        (hour(26), Happening::Webhook(1)),
        (hour(50), Happening::Webhook(3)),
        (
            hour(158),
            Happening::Pause(2, "Moving to another host until noon"),
        ),
    ] {
        let place = all.partition_point(|(each, _)| *each <= at);
        all.insert(place, (at, happening));
    }
    all.sort_by_key(|(at, _)| *at);
    renumbered(all)
}

/// Integrations and webhooks are named by the order in which they come: times within an hour were thrown.
fn renumbered(mut all: Vec<(SignedDuration, Happening)>) -> Vec<(SignedDuration, Happening)> {
    let mut webhooks = Vec::new();
    for (_, happening) in &mut all {
        match happening {
            Happening::Webhook(place) => webhooks.push(*place),
            Happening::Pause(place, _) => {
                let found = webhooks.iter().position(|each| each == place);
                *place = found.unwrap_or_default();
            }
            Happening::Connect { .. } | Happening::Command(..) => {}
        }
    }
    all
}

/// A new connection, or something that happens to one that there is.
fn one(dice: &mut Dice, stands: &mut Vec<Stands>) -> Happening {
    let alive: Vec<usize> = (0..stands.len())
        .filter(|place| stands[*place] != Stands::Deleted)
        .collect();
    if alive.len() < 6 || dice.below(4) == 0 && alive.len() < 48 {
        stands.push(Stands::Enabled);
        let place = PLACES[dice.below(PLACES.len())];
        return Happening::Connect {
            application: [0, 0, 1, 1, 2][dice.below(5)],
            enterprise: dice.below(ENTERPRISES.len()),
            name: place.to_owned(),
        };
    }
    let place = alive[dice.below(alive.len())];
    let (command, then) = match (stands[place], dice.below(10)) {
        (Stands::Canceled, 0..=7) => ("reinstate", Stands::Enabled),
        (Stands::Disabled, 0..=6) => ("enable", Stands::Enabled),
        (_, 7) => ("regenerate-access-token", stands[place]),
        (Stands::Enabled, 0..=5) => ("disable", Stands::Disabled),
        (Stands::Enabled, 6 | 8) => ("cancel", Stands::Canceled),
        (_, 9) => ("delete", Stands::Deleted),
        (stood, _) => ("regenerate-access-token", stood),
    };
    stands[place] = then;
    Happening::Command(place, command)
}
