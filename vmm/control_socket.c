// SPDX-License-Identifier: BSD-2-Clause
/*
 * control_socket.c: making, judging and removing the socket file of --qmp; see control_socket.h.
 *
 * Linux gives a bound socket the mode of its inode less the umask, so that setting the mode before
 * bind(2) leaves no moment in which another user could connect.
 */
#include "vmm/control_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/text.h"

#define BACKLOG 16

static int fill_address(struct sockaddr_un *address, const char *path, struct accel_err *err)
{
	size_t length = strlen(path);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (length >= sizeof(address->sun_path))
		return err_fail(err, -ENAMETOOLONG,
			"the socket's path is %zu bytes long, and at most %zu are possible: "
			"%.100s...",
			length, sizeof(address->sun_path) - 1, path);
	memcpy(address->sun_path, path, length + 1);
	return 0;
}

/* Something is at the path: removes it when it is the socket of somebody who is gone. 0 or -errno with err. */
static int remove_stale(const struct sockaddr_un *address, struct accel_err *err)
{
	const char *path = address->sun_path;
	struct stat before, after;
	int fd, rc;

	if (lstat(path, &before) < 0)
		return errno == ENOENT ? 0 : err_fail(err, -errno, "--qmp: %s: %s", path, strerror(errno));
	if (!S_ISSOCK(before.st_mode))
		return err_fail(err, -EEXIST, "--qmp: %s exists and is no socket: name another path", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_fail(err, -errno, "--qmp: socket: %s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED && rc != ENOENT)
		return err_fail(err, -EADDRINUSE,
			"--qmp: somebody listens at %s already%s%s: name another path, or end "
			"that process",
			path, rc && rc != EAGAIN ? ": " : "", rc && rc != EAGAIN ? strerror(rc) : "");
	if (lstat(path, &after) == 0 && after.st_dev == before.st_dev && after.st_ino == before.st_ino &&
		unlink(path) < 0 && errno != ENOENT)
		return err_fail(err, -errno, "--qmp: cannot remove the dead socket %s: %s", path, strerror(errno));
	return 0;
}

static int bind_and_listen(struct control_socket *s, const struct sockaddr_un *address, struct accel_err *err)
{
	struct stat st;
	int rc;

	if (fchmod(s->fd, S_IRUSR | S_IWUSR) < 0)
		return err_fail(err, -errno, "--qmp: fchmod: %s", strerror(errno));
	rc = bind(s->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	if (rc == -EADDRINUSE) {
		rc = remove_stale(address, err);
		if (rc)
			return rc;
		rc = bind(s->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	}
	if (rc)
		return err_fail(err, rc, "--qmp: cannot make the socket %s: %s", s->path, strerror(-rc));
	if (lstat(s->path, &st) < 0 || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0 || listen(s->fd, BACKLOG) < 0) {
		rc = err_fail(err, -EIO, "--qmp: cannot listen at %s as its owner alone", s->path);
		unlink(s->path);
		return rc;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->made = st.st_mtim;
	return 0;
}

int control_socket_open(struct control_socket *s, const char *path, struct accel_err *err)
{
	struct sockaddr_un address;
	int rc = fill_address(&address, path, err);

	*s = (struct control_socket){.fd = -1};
	if (rc)
		return rc;
	s->path = strdup(path);
	if (!s->path)
		return err_fail(err, -ENOMEM, "--qmp: out of memory");
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		rc = err_fail(err, -errno, "--qmp: socket: %s", strerror(errno));
	else
		rc = bind_and_listen(s, &address, err);
	if (rc) {
		if (s->fd >= 0)
			close(s->fd);
		free(s->path);
		*s = (struct control_socket){.fd = -1};
	}
	return rc;
}

void control_socket_close(struct control_socket *s)
{
	struct stat st;

	if (s->fd < 0)
		return;
	if (lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino &&
		st.st_mtim.tv_sec == s->made.tv_sec && st.st_mtim.tv_nsec == s->made.tv_nsec)
		unlink(s->path);
	close(s->fd);
	free(s->path);
	*s = (struct control_socket){.fd = -1};
}

int control_socket_connect(const char *path, struct accel_err *err)
{
	struct sockaddr_un address;
	int rc = fill_address(&address, path, err);
	int fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_fail(err, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	switch (-rc) {
	case ENOENT:
		return err_fail(err, rc, "there is no socket %s: was hotreg started with --qmp unix:%s?", path, path);
	case ECONNREFUSED:
		return err_fail(err, rc, "nobody listens at %s: that hotreg is gone", path);
	case EACCES:
		return err_fail(
			err, rc, "%s belongs to another user: only who started that hotreg may control it", path);
	default:
		return err_fail(err, rc, "cannot connect to %s: %s", path, strerror(-rc));
	}
}
