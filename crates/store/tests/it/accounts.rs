//! Users, clients, keys and the audit trail, the same on both engines.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use piton_model::{Act, ApiClient, ApiClientChange, By, Deed, Record, Role, Secret, SigningKey, User, UserChange};
use piton_store::{AccountError, Among, Principal, Rotation, Store};

use crate::fixture::{Fixture, at, job, new_run, on_both_engines, submit_one};

on_both_engines!(
    a_user_is_made_changed_and_removed,
    names_that_differ_by_case_are_one,
    the_first_user_is_the_first,
    there_is_always_an_administrator,
    two_who_demote_each_other_leave_one,
    clients_are_kept_apart_from_users,
    a_token_has_an_owner_until_it_is_given_back,
    keys_take_over_one_at_a_time,
    the_audit_trail_is_part_of_the_ledger,
    accounts_survive_a_restart,
);

fn user(name: &str, role: Role) -> User {
    User {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        email: None,
        roles: vec![role],
        workspaces: BTreeSet::new(),
        metadata: BTreeMap::from([("team".to_owned(), "ops".to_owned())]),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        active: true,
        generation: 0,
        password: Secret::new("$argon2id$".to_owned()),
        weak_password: false,
    }
}

fn client(id: &str) -> ApiClient {
    ApiClient {
        id: id.to_owned(),
        name: "CI".to_owned(),
        scopes: vec![Role::Operator],
        workspaces: BTreeSet::new(),
        metadata: BTreeMap::new(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        active: true,
        generation: 0,
        secret: Secret::new("digest".to_owned()),
    }
}

fn deed(act: Act) -> Deed {
    Deed::new(By::User("root".to_owned()), act)
}

async fn create(store: &Store, user: User) -> Result<User, AccountError> {
    store.create_user(user, Among::Others, deed(Act::UserCreated), at(1)).await
}

async fn change(store: &Store, name: &str, change: UserChange) -> Result<User, AccountError> {
    store.change_user(&format!("id-of-{name}"), change, deed(Act::UserChanged), at(2)).await
}

fn inactive() -> UserChange {
    UserChange { active: Some(false), ..UserChange::default() }
}

async fn a_user_is_made_changed_and_removed(fixture: &Fixture) {
    let store = fixture.open().await;
    create(&store, user("root", Role::Admin)).await.unwrap();
    let made = create(&store, user("anna", Role::Viewer)).await.unwrap();
    assert_eq!((made.created_at, made.updated_at), (at(1), at(1)));
    assert_eq!(store.user(&made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(store.user("nobody").await.unwrap(), None);
    let changed = change(&store, "anna", inactive()).await.unwrap();
    assert_eq!((changed.active, changed.generation, changed.updated_at), (false, 1, at(2)));
    assert_eq!(store.user(&made.id).await.unwrap(), Some(changed.clone()));
    let (users, total) = store.users(0, 10).await.unwrap();
    assert_eq!((users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), total), (vec!["anna", "root"], 2));
    let (users, total) = store.users(1, 1).await.unwrap();
    assert_eq!((users[0].name.as_str(), users.len(), total), ("root", 1, 2));

    assert_eq!(store.delete_user(&made.id, deed(Act::UserDeleted), at(3)).await.unwrap(), changed);
    assert_eq!(store.user(&made.id).await.unwrap(), None);
    let again = store.delete_user(&made.id, deed(Act::UserDeleted), at(4)).await;
    assert_eq!(again, Err(AccountError::NotFound));
    assert_eq!(change(&store, "anna", inactive()).await, Err(AccountError::NotFound));
    assert_eq!(store.head().await.unwrap(), 4, "what was refused left no entry");
}

async fn names_that_differ_by_case_are_one(fixture: &Fixture) {
    let store = fixture.open().await;
    create(&store, user("Anna", Role::Admin)).await.unwrap();
    assert_eq!(create(&store, user("aNNa", Role::Viewer)).await, Err(AccountError::Exists));
    assert_eq!(store.user_named("ANNA").await.unwrap().unwrap().name, "Anna");
    assert_eq!(store.user_named("ann").await.unwrap(), None);
}

async fn the_first_user_is_the_first(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let mut tries = Vec::new();
    for number in 0..8 {
        let store = nodes[number % nodes.len()].clone();
        tries.push(tokio::spawn(async move {
            let user = user(&format!("user{number}"), Role::Admin);
            store.create_user(user, Among::Nobody, deed(Act::UserCreated), at(1)).await
        }));
    }
    let mut made = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error, AccountError::NotFirst),
        }
    }
    assert_eq!(made, 1);
}

async fn there_is_always_an_administrator(fixture: &Fixture) {
    let store = fixture.open().await;
    create(&store, user("root", Role::Admin)).await.unwrap();
    create(&store, user("anna", Role::Operator)).await.unwrap();
    let demoted = || UserChange { roles: Some(vec![Role::Operator]), ..UserChange::default() };
    assert_eq!(change(&store, "root", inactive()).await, Err(AccountError::LastAdmin));
    assert_eq!(change(&store, "root", demoted()).await, Err(AccountError::LastAdmin));
    let removed = store.delete_user("id-of-root", deed(Act::UserDeleted), at(3)).await;
    assert_eq!(removed, Err(AccountError::LastAdmin));
    create(&store, user("bert", Role::Admin)).await.unwrap();
    change(&store, "root", demoted()).await.unwrap();
    assert_eq!(change(&store, "bert", inactive()).await, Err(AccountError::LastAdmin));
    change(&store, "anna", inactive()).await.unwrap();
}

async fn two_who_demote_each_other_leave_one(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    for name in ["one", "two"] {
        create(&nodes[0], user(name, Role::Admin)).await.unwrap();
    }
    let (first, last) = (nodes[0].clone(), nodes[nodes.len() - 1].clone());
    let (one, two) = tokio::join!(change(&first, "one", inactive()), change(&last, "two", inactive()));
    assert_eq!([&one, &two].into_iter().filter(|outcome| outcome.is_ok()).count(), 1, "{one:?} {two:?}");
}

async fn clients_are_kept_apart_from_users(fixture: &Fixture) {
    let store = fixture.open().await;
    let made = store.create_client(client("client_2"), deed(Act::ClientCreated), at(1)).await.unwrap();
    store.create_client(client("client_1"), deed(Act::ClientCreated), at(2)).await.unwrap();
    let twice = store.create_client(client("client_1"), deed(Act::ClientCreated), at(2)).await;
    assert_eq!(twice, Err(AccountError::Exists));
    assert_eq!(store.client("client_2").await.unwrap(), Some(made));
    let (clients, total) = store.clients(0, 1).await.unwrap();
    assert_eq!((clients[0].id.as_str(), clients.len(), total), ("client_1", 1, 2));
    let new = ApiClientChange { secret: Some(Secret::new("other".to_owned())), ..ApiClientChange::default() };
    let changed = store.change_client("client_1", new, deed(Act::ClientChanged), at(3)).await.unwrap();
    assert_eq!((changed.secret.expose().as_str(), changed.generation), ("other", 1));
    store.delete_client("client_1", deed(Act::ClientDeleted), at(4)).await.unwrap();
    let gone = store.delete_client("client_1", deed(Act::ClientDeleted), at(4)).await;
    assert_eq!(gone, Err(AccountError::NotFound));
    assert_eq!(store.users(0, 10).await.unwrap().1, 0);
}

async fn a_token_has_an_owner_until_it_is_given_back(fixture: &Fixture) {
    let store = fixture.open().await;
    let anna = create(&store, user("anna", Role::Admin)).await.unwrap();
    let ci = store.create_client(client("client_1"), deed(Act::ClientCreated), at(1)).await.unwrap();
    let owner = async |id: &str, token: &str| store.token_owner(id, token, None).await.unwrap();
    assert_eq!(owner(&anna.id, "t1").await, Some(Principal::User(anna.clone())));
    assert_eq!(owner(&ci.id, "t1").await, Some(Principal::Client(ci.clone())));
    assert_eq!(owner("nobody", "t1").await, None);
    store.revoke_token("t1", at(100), deed(Act::LoggedOut), at(2)).await.unwrap();
    store.revoke_token("t1", at(100), deed(Act::LoggedOut), at(2)).await.unwrap();
    assert_eq!(owner(&anna.id, "t1").await, None);
    assert!(owner(&anna.id, "t2").await.is_some());
    store.revoke_token("t2", at(300), deed(Act::LoggedOut), at(200)).await.unwrap();
    assert!(owner(&anna.id, "t1").await.is_some(), "it is over by itself, and no longer remembered");
    assert!(owner(&anna.id, "t2").await.is_none());
}

async fn keys_take_over_one_at_a_time(fixture: &Fixture) {
    let nodes = fixture.nodes().await;
    let (first, last) = (&nodes[0], &nodes[nodes.len() - 1]);
    let rotation = |id: &str, second: i64| Rotation {
        key: SigningKey { id: id.to_owned(), created_at: at(second), secret: Secret::new(id.repeat(32)) },
        forget_before: at(second - 15),
    };
    let rotate = async |store: &Store, newest: Option<&str>, id: &str, second: i64| {
        let deed = deed(Act::KeyRotated);
        let keys = store.rotate_key(newest, rotation(id, second), deed, at(second)).await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let (one, other) = tokio::join!(rotate(first, None, "a", 10), rotate(last, None, "b", 10));
    assert_eq!(one, other, "both use the key of whoever was first");
    assert_eq!(one.len(), 1);
    let newest = one[0].as_str();
    assert_eq!(rotate(first, None, "x", 20).await, [newest], "somebody else was first");
    assert_eq!(rotate(first, Some(newest), "c", 20).await, [newest, "c"]);
    assert_eq!(rotate(last, Some("c"), "d", 30).await, [newest, "c", "d"]);
    assert_eq!(rotate(first, Some("d"), "e", 40).await, ["c", "d", "e"], "the first was replaced at 20");
    let keys = last.signing_keys().await.unwrap();
    let anna = create(first, user("anna", Role::Admin)).await.unwrap();
    assert!(last.token_owner(&anna.id, "t", Some("c")).await.unwrap().is_some());
    assert!(last.token_owner(&anna.id, "t", Some("b")).await.unwrap().is_none(), "nothing is signed with it any more");
    assert_eq!(keys.last(), Some(&rotation("e", 40).key));
}

async fn the_audit_trail_is_part_of_the_ledger(fixture: &Fixture) {
    let store = fixture.open().await;
    submit_one(&store, new_run(&job("a"), at(0)), at(0)).await;
    let failed = Deed { from: Some("192.0.2.1".to_owned()), ..deed(Act::LoginFailed).to("anna").saying("basic") };
    store.record_deed(failed.clone(), at(1)).await.unwrap();
    submit_one(&store, new_run(&job("b"), at(2)), at(2)).await;
    create(&store, user("anna", Role::Admin)).await.unwrap();

    let trail = store.audit_trail(None, 10).await.unwrap();
    assert_eq!(trail.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 2], "the newest first");
    assert_eq!(trail[1].record, Record::Audit(failed));
    assert_eq!(trail[1].at, at(1));
    assert_eq!(store.audit_trail(Some(4), 10).await.unwrap(), trail[1..]);
    assert_eq!(store.audit_trail(None, 1).await.unwrap(), trail[..1]);
    let all = store.entries(0, 10).await.unwrap();
    assert_eq!((all.len(), &all[1]), (4, &trail[1]));
}

async fn accounts_survive_a_restart(fixture: &Fixture) {
    let store = fixture.open().await;
    let anna = create(&store, user("anna", Role::Admin)).await.unwrap();
    store.revoke_token("t1", at(100), deed(Act::LoggedOut), at(2)).await.unwrap();
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(store.user_named("anna").await.unwrap(), Some(anna.clone()));
    assert_eq!(store.token_owner(&anna.id, "t1", None).await.unwrap(), None);
}
