use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{
    addresses::{METADATA_V4, REFUSED_V4},
    allowing,
};
use crate::delivery::egress::{EgressPolicy, TargetHost, UrlRefused};

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1"];

/// The code with which a URL is refused, or "" if it is not.
fn code(policy: &EgressPolicy, url: &str) -> &'static str {
    policy
        .judge_url(url)
        .err()
        .map_or("", |refused| refused.code())
}

/// URL, the code without any allowed network, the code with loopback allowed.
#[rustfmt::skip]
const HOSTILE: &[(&str, &str, &str)] = &[
    ("http://127.1/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://2130706433/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://0x7f.0.0.1/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://017700000001/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://0177.0.0.1/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://127.0.0.1./", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://0/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://①②⑦.⓪.⓪.①/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://１２７.0.0.1/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://127。0。0。1/", "url_ipv4_notation", "url_ipv4_notation"),
    ("http://%31%32%37.0.0.1/", "url_percent_in_host", "url_percent_in_host"),
    ("https://ex%61mple.com/", "url_percent_in_host", "url_percent_in_host"),
    ("http://localhost/", "url_localhost", "url_localhost"),
    ("http://localhost./", "url_localhost", "url_localhost"),
    ("https://a.LOCALHOST/", "url_localhost", "url_localhost"),
    ("http://127.0.0.1:9000/", "url_address", ""),
    ("https://127.0.0.1:9000/", "url_address", ""),
    ("http://[::1]/", "url_address", ""),
    ("http://[::]/", "url_address", "url_address"),
    ("http://0.0.0.0/", "url_address", "url_address"),
    ("http://[::ffff:7f00:1]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[::ffff:127.0.0.1]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[::127.0.0.1]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[::ffff:0:127.0.0.1]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[64:ff9b::169.254.169.254]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[2001:0:7f00:1::80ff:fffe]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[64:ff9b:1::1]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[2002:a9fe:a9fe::1]/", "url_ipv6_form", "url_ipv6_form"),
    ("http://[fe80::1%25eth0]/", "url_percent_in_host", "url_percent_in_host"),
    ("http://[fe80::1]/", "url_address", "url_address"),
    ("http://[fd00:ec2::254]/", "url_metadata_name", "url_metadata_name"),
    ("http://169.254.169.254/latest/meta-data/", "url_metadata_name", "url_metadata_name"),
    ("http://metadata.google.internal/", "url_private_name", "url_private_name"),
    ("https://metadata.goog/", "url_metadata_name", "url_metadata_name"),
    ("https://metadata/", "url_single_label", "url_single_label"),
    ("https://receiver/", "url_single_label", "url_single_label"),
    ("https://receiver./", "url_single_label", "url_single_label"),
    ("https://com/", "url_single_label", "url_single_label"),
    ("https://printer.local/", "url_private_name", "url_private_name"),
    ("https://a.lan/", "url_private_name", "url_private_name"),
    ("https://a.home.arpa/", "url_private_name", "url_private_name"),
    ("https://a.ns.svc/", "url_private_name", "url_private_name"),
    ("https://a.ns.svc.cluster.local./", "url_private_name", "url_private_name"),
    ("https://a.test/", "url_private_name", "url_private_name"),
    ("https://a.invalid/", "url_private_name", "url_private_name"),
    ("https://a.EXAMPLE/", "url_private_name", "url_private_name"),
    ("https://a.onion/", "url_private_name", "url_private_name"),
    ("http://user:pass@example.com/", "url_user_info", "url_user_info"),
    ("https://user@example.com/", "url_user_info", "url_user_info"),
    ("https://@example.com/", "url_user_info", "url_user_info"),
    ("http://127.0.0.1\\@example.com/", "url_backslash", "url_backslash"),
    ("https:\\\\example.com/", "url_backslash", "url_backslash"),
    ("http:127.0.0.1", "url_no_slashes", "url_no_slashes"),
    ("https:/example.com/", "url_no_slashes", "url_no_slashes"),
    ("https:///example.com/", "url_no_slashes", "url_no_slashes"),
    ("https://", "url_no_slashes", "url_no_slashes"),
    ("https://?a", "url_no_slashes", "url_no_slashes"),
    ("//127.0.0.1/", "url_no_scheme", "url_no_scheme"),
    ("example.com", "url_no_scheme", "url_no_scheme"),
    ("[example.com]", "url_no_scheme", "url_no_scheme"),
    ("://example.com/", "url_no_scheme", "url_no_scheme"),
    ("javascript:alert(1)", "url_no_scheme", "url_no_scheme"),
    ("", "url_empty", "url_empty"),
    ("https://[example.com]/", "url_host_name", "url_host_name"),
    ("https://[::1", "url_host_name", "url_host_name"),
    ("https://[2606:4700::1111]x/", "url_host_name", "url_host_name"),
    ("https://example.com:0/", "url_port_malformed", "url_port_malformed"),
    ("https://example.com:22/", "url_port", "url_port"),
    ("https://example.com:1023/", "url_port", "url_port"),
    ("https://h.example:0/", "url_port_malformed", "url_port_malformed"),
    ("https://h.example:22/", "url_private_name", "url_private_name"),
    ("https://example.com:65536/", "url_port_malformed", "url_port_malformed"),
    ("https://example.com:/", "url_port_malformed", "url_port_malformed"),
    ("https://example.com:0443/", "url_port_malformed", "url_port_malformed"),
    ("https://example.com:443:80/", "url_port_malformed", "url_port_malformed"),
    ("https://example.com:８０８０/", "url_port_malformed", "url_port_malformed"),
    ("file:///etc/passwd", "url_scheme", "url_scheme"),
    ("gopher://127.0.0.1/", "url_scheme", "url_scheme"),
    ("ws://example.com/", "url_scheme", "url_scheme"),
    ("http://a..b/", "url_host_name", "url_host_name"),
    ("https://.example.com/", "url_host_name", "url_host_name"),
    ("https://example.com../", "url_host_name", "url_host_name"),
    ("https://-a.example.com/", "url_host_name", "url_host_name"),
    ("https://a$b.example.com/", "url_host_name", "url_host_name"),
    ("https://1.2.3.4.5/", "url_host_name", "url_host_name"),
    ("https://256.1.1.1/", "url_host_name", "url_host_name"),
    ("https://exa mple.com/", "url_whitespace", "url_whitespace"),
    (" https://example.com/", "url_whitespace", "url_whitespace"),
    ("https://example.com/\n", "url_whitespace", "url_whitespace"),
    ("ht\ttps://example.com/", "url_whitespace", "url_whitespace"),
    ("https://example.com/\u{0}", "url_whitespace", "url_whitespace"),
    ("https://example.com/\u{a0}", "url_whitespace", "url_whitespace"),
    ("https://example.com/#top", "url_fragment", "url_fragment"),
    ("http://example.com/", "url_plain_http", ""),
    ("http://93.184.215.14/", "url_plain_http", "url_plain_http"),
    ("http://10.0.0.1/", "url_address", "url_address"),
    ("https://10.0.0.1/", "url_address", "url_address"),
];

#[test]
fn hostile_urls_are_refused() {
    let (nothing, loopback) = (EgressPolicy::default(), allowing(LOOPBACK));
    for (url, without, with) in HOSTILE {
        assert_eq!(code(&nothing, url), *without, "{url} with nothing allowed");
        assert_eq!(code(&loopback, url), *with, "{url} with loopback allowed");
    }
}

#[test]
fn long_names_and_urls_are_refused() {
    let policy = EgressPolicy::default();
    let with_path = |length: usize| format!("https://example.com/{}", "a".repeat(length - 20));
    assert_eq!(code(&policy, &with_path(2048)), "");
    assert_eq!(code(&policy, &with_path(2049)), "url_too_long");
    assert_eq!(
        code(&policy, &format!("https://example.com/{}", "é".repeat(900))),
        "url_too_long",
        "grows when encoded"
    );
    let label = "a".repeat(63);
    assert_eq!(code(&policy, &format!("https://{label}.com/")), "");
    assert_eq!(
        code(&policy, &format!("https://{label}a.com/")),
        "url_host_name"
    );
    assert_eq!(
        code(
            &policy,
            &format!("https://{label}.{label}.{label}.{label}.com/")
        ),
        "url_host_name"
    );
}

#[test]
fn no_setting_allows_metadata() {
    let all = allowing(&["0.0.0.0/0", "::/0"]);
    for url in [
        "http://169.254.169.254/",
        "https://[fd00:ec2::254]/",
        "https://168.63.129.16/",
        "https://100.100.100.200/",
    ] {
        assert_eq!(code(&all, url), "url_metadata_name", "{url}");
    }
    assert_eq!(code(&all, "http://10.0.0.1/"), "");
}

#[test]
fn bellhops_own_address_is_refused() {
    let mut policy = allowing(LOOPBACK);
    policy.own_addresses = vec![
        "0.0.0.0:8080".parse().unwrap(),
        "[::1]:8081".parse().unwrap(),
    ];
    assert_eq!(code(&policy, "http://127.0.0.1:8080/v1"), "url_own_address");
    assert_eq!(code(&policy, "http://[::1]:8081/"), "url_own_address");
    assert_eq!(code(&policy, "http://127.0.0.1:8081/"), "");
}

/// URL, the form that is kept, host, port.
#[rustfmt::skip]
const ACCEPTED: &[(&str, &str, &str, u16)] = &[
    ("https://example.com", "https://example.com/", "example.com", 443),
    ("HTTPS://Example.COM:443/A?b=C", "https://example.com/A?b=C", "example.com", 443),
    ("https://example.com.:8443/x", "https://example.com:8443/x", "example.com", 8443),
    ("https://bücher.example.com/ü", "https://xn--bcher-kva.example.com/%C3%BC", "xn--bcher-kva.example.com", 443),
    ("https://example.com/a/../b?q=a|b", "https://example.com/b?q=a|b", "example.com", 443),
    ("https://example.com/?", "https://example.com/?", "example.com", 443),
    ("https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]/", "[2606:4700::1111]", 443),
    ("https://93.184.215.14/", "https://93.184.215.14/", "93.184.215.14", 443),
    ("http://127.0.0.1:9000/hook", "http://127.0.0.1:9000/hook", "127.0.0.1", 9000),
    ("https://my_app.example.com/", "https://my_app.example.com/", "my_app.example.com", 443),
];

#[test]
fn what_is_accepted_is_kept_in_one_form() {
    let policy = allowing(&["127.0.0.0/8"]);
    for (url, kept, host, port) in ACCEPTED {
        let target = policy
            .judge_url(url)
            .unwrap_or_else(|refused| panic!("{url}: {refused}"));
        assert_eq!(target.as_str(), *kept);
        assert_eq!(target.host().to_string(), *host);
        assert_eq!(target.port(), *port);
        assert_eq!(target.is_https(), kept.starts_with("https"));
        assert!(target.as_str().starts_with(target.origin()) && !target.origin().ends_with('/'));
        assert_eq!(
            target.host_header().to_str().unwrap(),
            target.origin().split("//").nth(1).unwrap()
        );
        assert_eq!(
            policy.judge_url(target.as_str()).as_ref(),
            Ok(&target),
            "judging again changes nothing"
        );
    }
}

#[test]
fn the_query_is_never_shown() {
    let target = EgressPolicy::default()
        .judge_url("https://example.com:8443/in?key=s3cr3t%2Bvalue&a=1")
        .unwrap();
    assert_eq!(target.masked(), "https://example.com:8443/in?…");
    assert_eq!(
        format!("{target:?}"),
        r#"TargetUrl("https://example.com:8443/in?…")"#
    );
    assert_eq!(target.origin(), "https://example.com:8443");
    let values: Vec<_> = target
        .query_values()
        .iter()
        .map(|value| String::from_utf8_lossy(value))
        .collect();
    assert_eq!(values, ["s3cr3t%2Bvalue", "s3cr3t+value"]);
}

#[test]
fn every_refusal_says_what_to_do_and_no_query() {
    for (url, ..) in HOSTILE {
        let Err(refused) = EgressPolicy::default().judge_url(&format!("{url}?key=s3cr3t")) else {
            continue;
        };
        let text = refused.to_string();
        assert!(text.ends_with('.') && text.len() > 30, "{url}: {text}");
        assert!(!text.contains("s3cr3t"), "{url}: {text}");
    }
    assert!(UrlRefused::Localhost.to_string().contains("127.0.0.1"));
}

/// Every way to write an IPv4 address inside an IPv6 literal that some host or router would unwrap.
pub fn embeddings(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let bits = u32::from(v4);
    let (high, low) = ((bits >> 16) as u16, bits as u16);
    let [a, b, c, d] = v4.octets();
    let wide = |bytes: [u8; 16]| Ipv6Addr::from(bytes);
    // RFC 6052, 2.2: the local-use prefix 64:ff9b:1::/48 may be cut to any of these lengths.
    let local_48 = wide([0, 0x64, 0xff, 0x9b, 0, 1, a, b, 0, c, d, 0, 0, 0, 0, 0]);
    let local_56 = wide([0, 0x64, 0xff, 0x9b, 0, 1, 7, a, 0, b, c, d, 0, 0, 0, 0]);
    let local_64 = wide([0, 0x64, 0xff, 0x9b, 0, 1, 7, 7, 0, a, b, c, d, 0, 0, 0]);
    vec![
        v4.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        local_48,
        local_56,
        local_64,
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        // Teredo: as the server, and as the client.
        Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !0x0808, !0x0808),
        Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x200, 0x5efe, high, low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x300, 0x5efe, high, low),
    ]
}

/// An address of each refused block, chosen by the random bits below its prefix.
fn forbidden_v4() -> impl Strategy<Value = Ipv4Addr> {
    let block = prop::sample::select(REFUSED_V4);
    (block, any::<u32>()).prop_map(|((base, prefix), random)| {
        let host_bits = u32::MAX.checked_shr(prefix).unwrap_or(0);
        Ipv4Addr::from_bits(base.parse::<Ipv4Addr>().unwrap().to_bits() | (random & host_bits))
    })
}

proptest! {
    #[test]
    fn every_embedding_of_a_forbidden_address_is_refused(v4 in forbidden_v4(), port in 1024u16..) {
        let policy = EgressPolicy::default();
        prop_assert!(policy.judge_addr(IpAddr::V4(v4)).is_err(), "{v4}");
        for v6 in embeddings(v4) {
            prop_assert!(policy.judge_url(&format!("https://[{v6}]:{port}/")).is_err(), "{v6}");
            prop_assert!(policy.judge_addr(IpAddr::V6(v6)).is_err(), "{v6}");
        }
    }

    #[test]
    fn no_setting_and_no_embedding_allows_metadata(metadata in prop::sample::select(METADATA_V4)) {
        let all = allowing(&["0.0.0.0/0", "::/0"]);
        let v4: Ipv4Addr = metadata.parse().unwrap();
        for v6 in embeddings(v4) {
            prop_assert!(all.judge_url(&format!("https://[{v6}]/")).is_err(), "{v6}");
            prop_assert!(all.judge_addr(IpAddr::V6(v6)).is_err(), "{v6}");
        }
    }

    #[test]
    fn judging_never_panics(text in "\\PC{0,60}") {
        let _ = EgressPolicy::default().judge_url(&text);
        let _ = allowing(LOOPBACK).judge_url(&format!("http://{text}"));
        let _ = allowing(LOOPBACK).judge_url(&format!("https://example.com{text}"));
    }

    #[test]
    fn both_parsers_agree_on_what_is_accepted(
        host in "[a-z0-9.%@:\\[\\]\\\\/?#①。é_-]{1,24}",
        rest in "[/?a-z%0-9 ]{0,12}",
    ) {
        let policy = allowing(&["0.0.0.0/0", "::/0"]);
        for scheme in ["http", "https"] {
            let Ok(target) = policy.judge_url(&format!("{scheme}://{host}{rest}")) else { continue };
            prop_assert_eq!(target.uri().host().unwrap(), target.host().to_string());
            prop_assert_eq!(TargetHost::of_uri(target.uri().host().unwrap()), target.host().clone());
            prop_assert_eq!(target.uri().port_u16().unwrap_or(if target.is_https() { 443 } else { 80 }), target.port());
            prop_assert_eq!(target.uri().to_string(), target.as_str());
            prop_assert!(target.uri().authority().unwrap().as_str() == target.host_header().to_str().unwrap());
        }
    }
}
