use super::*;
use std::path::Path;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
# a comment:x:5:5::/:/bin/sh
+nis::::::
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
1000:x:70:70:a name of digits:/digits:/bin/sh
short:x:80:81
broken:x:notanumber:1::/:
huge:x:4294967295:1::/:
app:x:1001:1001:App,,,:/home/app:
";
const GROUP: &str = "\
root:x:0:
www-data:x:33:
docker:x:998:app,www-data
ops:x:500: app , root
broken:x::app
";

fn users() -> Users {
    Users::parse(PASSWD, GROUP)
}

fn ids(text: &str) -> (u32, u32, Vec<u32>) {
    let identity = users().find(text).unwrap();
    (identity.uid, identity.gid, identity.groups)
}

#[test]
fn a_name_brings_its_groups() {
    assert_eq!(ids("www-data"), (33, 33, vec![33, 998]));
    assert_eq!(ids("app"), (1001, 1001, vec![500, 998, 1001]));
    assert_eq!(ids("root"), (0, 0, vec![0, 500]));
    assert_eq!(ids("33"), (33, 33, vec![33, 998]), "an id with an entry is that user");
}

#[test]
fn an_explicit_group_is_the_only_one() {
    assert_eq!(ids("www-data:docker"), (33, 998, vec![998]));
    assert_eq!(ids("www-data:0"), (33, 0, vec![0]));
    assert_eq!(ids("77:88"), (77, 88, vec![88]));
    assert_eq!(ids("77:ops"), (77, 500, vec![500]));
}

#[test]
fn an_id_without_an_entry_does_not_keep_roots_group() {
    let identity = users().find("4242").unwrap();
    assert_eq!((identity.uid, identity.gid, identity.groups.as_slice()), (4242, 4242, [4242].as_slice()));
    assert_eq!((identity.name.as_deref(), identity.home.as_deref()), (None, None));
    assert_eq!(identity.to_string(), "4242");
}

#[test]
fn a_name_of_digits_wins_over_the_id() {
    assert_eq!(ids("1000"), (70, 70, vec![70]));
}

#[test]
fn home_and_shell_have_the_defaults_of_passwd_5() {
    let app = users().find("app").unwrap();
    assert_eq!(app.home.as_deref(), Some(Path::new("/home/app")));
    assert_eq!(app.shell.as_deref(), Some(Path::new("/bin/sh")));
    let short = users().find("short").unwrap();
    assert_eq!((short.uid, short.gid), (80, 81));
    assert_eq!(short.home.as_deref(), Some(Path::new("/")));
}

#[test]
fn root_is_known_without_a_file() {
    let root = Users::parse("", "").find("root").unwrap();
    assert_eq!((root.uid, root.gid, root.groups.as_slice()), (0, 0, [0].as_slice()));
    // But not a second time beside an entry of another name.
    assert!(Users::parse("admin:x:0:0::/:/bin/sh", "").find("root").is_err());
}

#[test]
fn errors_say_what_is_missing_and_what_is_near() {
    let say = |text: &str| users().find(text).unwrap_err().to_string();
    assert_eq!(say("ww-data"), r#"user "ww-data" is not in /etc/passwd, did you mean "www-data"?"#);
    assert_eq!(
        say("nginx"),
        r#"user "nginx" is not in /etc/passwd: create it in the image, or give its number"#
    );
    assert_eq!(say("app:dokcer"), r#"group "dokcer" is not in /etc/group, did you mean "docker"?"#);
    for text in ["", ":", "app:", ":app", "a:b:c", "4294967295", "99999999999", "1:4294967295"] {
        assert!(say(text).contains("is not a user"), "{text:?}: {}", say(text));
    }
    for text in ["broken", "huge", "# a comment", "+nis", "-1"] {
        assert!(matches!(users().find(text), Err(UsersError::UnknownUser { .. })), "{text:?}");
    }
}

#[test]
fn the_same_ids_need_no_change() {
    let one = users().find("www-data").unwrap();
    let mut other = one.clone();
    other.groups = vec![998];
    assert!(one.same_ids(&other), "the primary group may or may not be in the list");
    other.groups = vec![33];
    assert!(!one.same_ids(&other));
}

#[test]
fn distances() {
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("same", "same"), 0);
}
