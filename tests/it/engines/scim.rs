//! The source `scim`: a stand-in that answers as RFC 7644 (3.4.2) and RFC 9865 have it, with the
//! configuration that CoreWeave's fork of nsscache has as its example; and one that lies.

use super::{config, fails, is_known, run, secret};
use crate::support::directory::{Machine, no_machine};
use crate::support::http::{Http, Request, send};
use std::sync::{Arc, Mutex};

/// An extension of a server's own, as the fork's example has it.
const POSIX: &str = "urn:example:params:scim:schemas:extension:User";

fn user(name: &str, number: u32, more: &str) -> String {
    format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\",\"{POSIX}\"],\"id\":\"id-{name}\",\
         \"userName\":\"{name}@example.org\",\"name\":{{\"givenName\":\"G\",\"familyName\":\"{name}\"}},\
         \"meta\":{{\"resourceType\":\"User\",\"version\":\"W/\\\"1\\\"\"}},\
         \"{POSIX}\":{{\"userName\":\"{name}\",\"userId\":{number},\"groupId\":\"20000\",\
         \"sshKeys\":[\"ssh-ed25519 AAAA {name}\"]}}{more}}}"
    )
}

fn group(name: &str, gid: u32, members: &str) -> String {
    format!(
        "{{\"id\":\"g-{name}\",\"displayName\":\"{name}\",\"{POSIX}\":{{\"groupId\":{gid}}},\
         \"members\":[{members}]}}"
    )
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let (_, query) = request.path.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A page as RFC 7644 has it.
fn page(all: &[String], from: usize, most: usize, total: usize, more: &str) -> String {
    let here: Vec<String> = all.iter().skip(from).take(most).cloned().collect();
    format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:ListResponse\"],\"totalResults\":{total},\
         \"itemsPerPage\":{},\"startIndex\":{},\"Resources\":[{}]{more}}}",
        here.len(),
        from + 1,
        here.join(",")
    )
}

/// A server of these users and groups, two a page, for whoever has the token `good`.
fn scim(users: Vec<String>, groups: Vec<String>) -> Http {
    Http::new(move |request, stream| {
        if request.headers.get("authorization").is_none_or(|token| token != "Bearer good") {
            let body = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"expired","status":"401"}"#;
            return send(stream, "401 Unauthorized", &[], body.as_bytes());
        }
        let path = request.path.split('?').next().unwrap();
        let all = if path == "/scim/v2/Users" { &users } else { &groups };
        let body = match parameter(request, "cursor") {
            Some(cursor) => {
                let from = cursor.strip_prefix("at%20").map_or(0, |at| at.parse().unwrap());
                let next = from + 2;
                let more = if next < all.len() {
                    format!(",\"nextCursor\":\"at {next}\"")
                } else {
                    String::new()
                };
                page(all, from, 2, all.len(), &more)
            }
            None => {
                let from: usize = parameter(request, "startIndex").unwrap().parse().unwrap();
                let most = parameter(request, "count").map_or(2, |count| count.parse().unwrap());
                page(all, from - 1, most, all.len(), "")
            }
        };
        send(stream, "200 OK", &[("Content-Type", "application/scim+json")], body.as_bytes());
    })
}

fn house(server: &Http, maps: &str, more: &str) -> Machine {
    let more = format!("scim_base_url = {}/scim/v2\nscim_auth_token = good\n{more}", server.url());
    Machine::with(&config("scim", maps, &more))
}

/// What the fork's example sets for each map.
fn of_the_fork() -> String {
    format!(
        "scim_users_endpoint = Users\nscim_groups_endpoint = Groups\n\
         scim_users_parameters = groups=admin&filter=active eq \"true\"\nscim_timeout = 60\n\
         scim_verify_ssl = True\n[passwd]\nscim_path_username = {POSIX}/userName\n\
         scim_path_uid = {POSIX}/userId\nscim_path_gid = {POSIX}/groupId\n\
         scim_path_home_directory = {POSIX}/homeDirectory\nscim_path_login_shell = {POSIX}/loginShell\n\
         scim_default_shell = /bin/zsh\nscim_override_home_directory = /mnt/home/%%u\n\
         [sshkey]\nscim_path_username = {POSIX}/userName\nscim_path_ssh_keys = {POSIX}/sshKeys\n\
         [shadow]\nscim_path_username = {POSIX}/userName\nscim_shadow_default_max = 99999\n\
         scim_shadow_default_warn = 7\n[group]\nscim_path_gid = {POSIX}/groupId\n"
    )
}

fn people() -> Vec<String> {
    let mut people: Vec<String> = ["ada", "bob", "cyd", "dan"]
        .iter()
        .zip(20001..)
        .map(|(name, id)| user(name, id, ""))
        .collect();
    people.push(user("eve", 20005, ",\"active\":false"));
    people
}

fn groups() -> Vec<String> {
    let members = r#"{"value":"id-ada"},{"value":"g-staff","type":"Group"},{"value":"id-eve"},{"value":"id-bob"}"#;
    vec![
        group("staff", 21001, r#"{"value":"id-cyd"}"#),
        group("ops", 21002, members),
        group("none", 21003, ""),
    ]
}

#[test]
fn the_forks_configuration_is_understood_and_pages_are_put_together() {
    if no_machine("the_forks_configuration_is_understood_and_pages_are_put_together") {
        return;
    }
    let server = scim(people(), groups());
    for more in ["", "scim_paging = cursor\n", "scim_page_size = 1\n", "scim_page_size = 100\n"] {
        let machine =
            house(&server, "passwd, group, shadow, sshkey", &(more.to_owned() + &of_the_fork()));
        machine.expect(0, &["update"]);
        let line = |(name, id): (&str, u32)| {
            format!("{name}:x:{id}:20000:G {name}:/mnt/home/{name}:/bin/zsh\n")
        };
        let wanted: String =
            ["ada", "bob", "cyd", "dan"].into_iter().zip(20001..).map(line).collect();
        assert_eq!(machine.text("passwd.cache"), wanted, "{more}");
        let wanted = "staff:x:21001:cyd\nops:x:21002:ada,bob\nnone:x:21003:\n";
        assert_eq!(machine.text("group.cache"), wanted);
        assert!(machine.text("shadow.cache").starts_with("ada:*:::99999:7:::\nbob:"));
        assert!(machine.text("sshkey.cache").starts_with("ada:['ssh-ed25519 AAAA ada']\nbob:"));
        is_known(&machine);
    }
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    let first = "/scim/v2/Users?groups=admin&filter=active%20eq%20%22true%22&startIndex=1";
    assert_eq!(asked[0], first);
    assert!(asked.iter().any(|path| path.ends_with("&cursor=")), "{asked:?}");
}

/// Names of members may stand in their groups, and who is not active may be kept.
#[test]
fn members_may_have_names_and_the_inactive_may_stay() {
    if no_machine("members_may_have_names_and_the_inactive_may_stay") {
        return;
    }
    let named = r#"{"value":"1","userName":"ada"},{"value":"2","userName":"bob"}"#;
    let server = scim(people(), vec![group("ops", 21002, named)]);
    let fork = of_the_fork() + "scim_path_username = members/userName\n";
    let machine = house(&server, "passwd, group", &format!("scim_keep_inactive = yes\n{fork}"));
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("group.cache"), "ops:x:21002:ada,bob\n");
    assert!(machine.text("passwd.cache").contains("\neve:x:20005:"));
    // A member that would be two is none.
    let odd = r#"{"value":"1","userName":"ada,root"}"#;
    let server = scim(people(), vec![group("ops", 21002, odd), group("more", 21003, "")]);
    let machine = house(
        &server,
        "group",
        &of_the_fork().replace("[group]\n", "[group]\nscim_path_members = members/userName\n"),
    );
    let finished = machine.expect(0, &["update"]);
    assert!(finished.stderr.contains("a member that would be several"), "{}", finished.stderr);
    assert_eq!(machine.text("group.cache"), "more:x:21003:\n");
}

/// The same numbers as nsssd-map's, and none for two.
#[cfg(feature = "nsssd-map")]
#[test]
fn ids_are_derived_where_there_are_none() {
    if no_machine("ids_are_derived_where_there_are_none") {
        return;
    }
    let bare = |name: &str| format!("{{\"id\":\"0f3a-{name}\",\"userName\":\"{name}\"}}");
    let server = scim(vec![bare("alice"), bare("bob")], vec![]);
    let more = "scim_derive_key = /etc/map.key\nscim_derive_range = 20000+40000\n";
    let machine = house(&server, "passwd", more);
    machine.dir.write("etc/map.key", "000102030405060708090a0b0c0d0e0f\n");
    fails(&machine, 1, "it must have mode 0400", &[]);
    machine.dir.chmod("etc/map.key", 0o400);
    machine.expect(0, &["update"]);
    // As in nsssd-map's own test.
    assert!(
        machine
            .text("passwd.cache")
            .starts_with("alice:x:37711:37711::/home/alice:/bin/bash\nbob:x:")
    );
    is_known(&machine);
    // Of ten ids a hundred people cannot have one each.
    let many: Vec<String> = (0..100).map(|at| bare(&format!("u{at}"))).collect();
    let server = scim(many, vec![]);
    let more = more.replace("20000+40000", "20000-20009");
    let machine = house(&server, "passwd", &more);
    machine.dir.write("etc/map.key", "000102030405060708090a0b0c0d0e0f\n");
    machine.dir.chmod("etc/map.key", 0o400);
    let finished = machine.expect(0, &["update"]);
    assert!(finished.stderr.contains("ids of others (allow_duplicate_ids)"), "{}", finished.stderr);
    assert!(machine.text("passwd.cache").lines().count() <= 10);
    machine.config(&machine.text("nsscache.conf").replace("20000-20009", "100-200"));
    fails(&machine, 1, "scim_derive_range: an id below 500", &[]);
}

#[test]
fn a_token_that_is_old_is_told_and_a_new_one_taken() {
    if no_machine("a_token_that_is_old_is_told_and_a_new_one_taken") {
        return;
    }
    let server = scim(people(), groups());
    let machine = house(&server, "passwd", &of_the_fork());
    let text = machine.text("nsscache.conf");
    machine.config(&text.replace("scim_auth_token = good", "scim_auth_token_file = /etc/token"));
    secret(&machine, "token", "old");
    fails(&machine, 1, "HTTP status 401: expired: the token is not taken; is it old?", &[]);
    secret(&machine, "token", "good\n");
    machine.expect(0, &["update"]);
    machine.config(&text.replace("scim_auth_token = good\n", ""));
    fails(&machine, 1, "no scim_auth_token", &[]);
    let finished = run(&machine, &["update"], &[("NSSCACHE_SCIM_AUTH_TOKEN", "good")]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// Pages, whatever is asked for, one after the other; the last again and again.
fn liar(pages: &[String]) -> Http {
    let (pages, at) = (pages.to_vec(), Arc::new(Mutex::new(0)));
    Http::new(move |_, stream| {
        let mut at = at.lock().unwrap();
        send(stream, "200 OK", &[], pages[(*at).min(pages.len() - 1)].as_bytes());
        *at += 1;
    })
}

#[test]
fn pages_that_repeat_lose_or_lie_are_no_map() {
    if no_machine("pages_that_repeat_lose_or_lie_are_no_map") {
        return;
    }
    let all = people();
    let machine = house(&scim(all.clone(), vec![]), "passwd", &of_the_fork());
    machine.expect(0, &["update"]);
    let good = machine.text("nsscache.conf");
    let url = |server: &Http| {
        let lines = good.lines().map(|line| match line.starts_with("scim_base_url") {
            true => format!("scim_base_url = {}/scim/v2\n", server.url()),
            false => format!("{line}\n"),
        });
        lines.collect::<String>()
    };
    let cursor = |next: &str| format!(",\"nextCursor\":\"{next}\"");
    for (pages, says) in [
        // The first page again and again.
        (vec![page(&all, 0, 2, 5, "")], "the entry id-ada came twice"),
        // An entry that moved to the next page when another one came in front of it.
        (vec![page(&all, 0, 2, 5, ""), page(&all, 1, 2, 5, "")], "the entry id-bob came twice"),
        // One that is on none, as one in front of it was deleted.
        (
            vec![page(&all, 0, 2, 5, ""), page(&all, 3, 2, 5, ""), page(&all, 5, 2, 5, "")],
            "there are 5 entries, and sent 4",
        ),
        (vec![page(&all, 0, 2, 5, ""), page(&all, 2, 2, 4, "")], "5 entries, then 4"),
        // totalResults that lies: more, less, none, no number.
        (vec![page(&all, 0, 5, 9, ""), page(&all, 5, 2, 9, "")], "there are 9 entries, and sent 5"),
        (vec![page(&all, 0, 5, 2, "")], "there are 2 entries, and sent 5"),
        (vec![format!("{{\"Resources\":[{}]}}", all[0])], "a list without totalResults"),
        (
            vec![
                page(&all, 0, 5, 5, "").replace("\"totalResults\":5", "\"totalResults\":\"many\""),
            ],
            "no number",
        ),
        (vec![page(&all, 0, 5, 5, ",\"totalResults\":5")], "JSON that has totalResults twice"),
        (vec![page(&all, 0, 5, 5, ",\"Resources\":[]")], "the array of entries twice"),
        // Cursors that lead back, or nowhere.
        (
            vec![page(&all, 0, 2, 5, &cursor("a")), page(&all, 2, 2, 5, &cursor("a"))],
            "a cursor that leads back",
        ),
        (
            vec![page(&all, 0, 2, 5, &cursor("a")), page(&all, 2, 2, 5, "")],
            "there are 5 entries, and sent 4",
        ),
        (vec!["{\"totalResults\":0}".to_owned()], "has no entries"),
        (vec!["<html>Sign in</html>".to_owned()], "JSON without"),
    ] {
        let server = liar(&pages);
        machine.config(&url(&server));
        let code =
            if ["has no entries", "without", "no number", "twice"].iter().any(|w| says.contains(w))
                && !says.contains("came twice")
            {
                1
            } else {
                75
            };
        fails(&machine, code, says, &[]);
    }
    // Pages without an entry, and always another one.
    let at = Arc::new(Mutex::new(0));
    let server = Http::new(move |_, stream| {
        let mut at = at.lock().unwrap();
        *at += 1;
        let body = format!("{{\"totalResults\":5,\"Resources\":[],\"nextCursor\":\"c{at}\"}}");
        send(stream, "200 OK", &[], body.as_bytes());
    });
    machine.config(&url(&server));
    fails(&machine, 75, "a list without end", &[]);
    assert!(server.requests().len() < 20);
    // A cursor that is too old is asked for anew.
    let body = r#"{"scimType":"expiredCursor","detail":"too late","status":"400"}"#;
    let server = Http::new(move |_, stream| send(stream, "400 Bad Request", &[], body.as_bytes()));
    machine.config(&url(&server));
    fails(&machine, 75, "HTTP status 400: expiredCursor: too late", &[]);
}
