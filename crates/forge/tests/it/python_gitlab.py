"""Makes the requests of Piton's GitLab client, and a few more, with python-gitlab, which others wrote for the real one.

What GitLab documents or is known to do is asserted here. Called with the address, a token that may all, one that may look,
and the id of a run whose mark a project gets.
"""

import json
import sys

import gitlab
from gitlab.exceptions import GitlabAuthenticationError, GitlabCreateError, GitlabGetError, GitlabUpdateError

url, token, read_only, run = sys.argv[1:]


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"this should have been refused with {kind.__name__}")


gl = gitlab.Gitlab(url, private_token=token)
gl.auth()
assert (gl.user.username, gl.user.namespace_id) == ("robot", 1), gl.user
version, revision = gl.version()
assert version and revision, (version, revision)

# Groups and namespaces, by number and by path.
team = gl.groups.get(123, with_projects=False)
assert (team.id, team.full_path) == (123, "team"), team
assert gl.groups.get("company/team").id == 124
assert gl.namespaces.get("robot").kind == "user"
assert refused(GitlabGetError, lambda: gl.groups.get("robot")).response_code == 404, "a user is no group"
assert refused(GitlabGetError, lambda: gl.groups.get("nobody")).response_code == 404

# What Piton made is there as it should be.
ours = gl.projects.get("team/ours")
assert ours.description == f"A service (run:{run})" and ours.topics == ["Go"], ours
assert (ours.empty_repo, ours.default_branch, ours.visibility) == (False, "main", "private"), ours
branches = ours.branches.list(get_all=True)
assert [branch.name for branch in branches] == ["main"], branches
head = ours.branches.get("main").commit["id"]
assert ours.commits.get(head).id == head
assert ours.repository_merge_base([head, "main"])["id"] == head
assert refused(GitlabGetError, lambda: ours.repository_merge_base([head, "0" * 40])).response_code in (400, 404)
assert refused(GitlabGetError, lambda: ours.branches.get("trunk")).response_code == 404

# Made, taken, reserved, not there.
order = {"name": "theirs", "path": "theirs", "namespace_id": 123, "visibility": "internal", "default_branch": "main"}
theirs = gl.projects.create(order)
assert theirs.path_with_namespace == "team/theirs" and theirs.namespace["id"] == 123, theirs
assert (theirs.visibility, theirs.empty_repo) == ("internal", True), theirs
assert theirs.http_url_to_repo == f"{url}/team/theirs.git" and theirs.web_url == f"{url}/team/theirs", theirs
taken = refused(GitlabCreateError, lambda: gl.projects.create(order))
assert taken.response_code == 400, "GitLab does not answer 409 for a name that is taken"
assert taken.error_message["path"] == ["has already been taken"], taken.error_message
reserved = refused(GitlabCreateError, lambda: gl.projects.create({"name": "badges"}))
assert reserved.response_code == 400 and "badges is a reserved name" in str(reserved.error_message), reserved
nowhere = refused(GitlabCreateError, lambda: gl.projects.create({**order, "namespace_id": 999}))
assert nowhere.response_code == 400 and nowhere.error_message == {"namespace": ["is not valid"]}, nowhere
assert refused(GitlabGetError, lambda: gl.projects.get("team/nothing")).response_code == 404
mine = gl.projects.create({"name": "mine"})
assert mine.path_with_namespace == "robot/mine", mine

# Lists come in pages, and the client finds from one to the next by itself.
for number in range(7):
    gl.projects.create({"name": f"many-{number}", "namespace_id": 124})
names = {project.name for project in gl.projects.list(search="many-", membership=True, per_page=3, iterator=True)}
assert names == {f"many-{number}" for number in range(7)}, names
page = gl.projects.list(search="many-", per_page=3, page=2, get_all=False)
assert len(page) == 3, page
assert {project.name for project in gl.groups.get(124).projects.list(get_all=True)} == names

# Changes.
theirs.topics = ["python"]
theirs.save()
assert gl.projects.get(theirs.id).topics == ["python"]
theirs.default_branch = "trunk"
missing = refused(GitlabUpdateError, theirs.save)
assert missing.response_code == 400, missing

# A branch to which nobody may push, before anything is there.
guarded = gl.projects.create({"name": "guarded", "namespace_id": 123, "description": f"A service (run:{run})"})
closed = guarded.protectedbranches.create({"name": "main", "push_access_level": 0})
assert closed.push_access_levels[0]["access_level"] == 0, closed
again = refused(GitlabCreateError, lambda: guarded.protectedbranches.create({"name": "main"}))
assert again.response_code == 409, again
guarded.protectedbranches.create({"name": "stable", "push_access_level": 40})
assert [branch.name for branch in guarded.protectedbranches.list(get_all=True)] == ["main", "stable"]
guarded.protectedbranches.delete("stable")
assert refused(GitlabGetError, lambda: guarded.protectedbranches.get("stable")).response_code == 404

# Who may not.
stranger = gitlab.Gitlab(url, private_token="wrong")
assert refused(GitlabAuthenticationError, stranger.auth).response_code == 401
looker = gitlab.Gitlab(url, private_token=read_only)
assert looker.projects.get("team/ours").id == ours.id
denied = refused(GitlabCreateError, lambda: looker.projects.create({"name": "denied"}))
assert denied.response_code == 403, denied
bearer = gitlab.Gitlab(url, oauth_token=token)
assert bearer.projects.get("team/ours").id == ours.id

# Too much at once: the client waits as long as it is told, and comes again.
assert gl.projects.get("robot/mine", obey_rate_limit=True).id == mine.id

mine.delete()
assert refused(GitlabGetError, lambda: gl.projects.get("robot/mine")).response_code == 404

print(json.dumps({"client": gitlab.__version__, "head": head, "guarded": guarded.path_with_namespace}))
