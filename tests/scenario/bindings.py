"""Run by test_bindings.py with uplink-python on its path: every class and method once, except
derive_encryption_key and override_encryption_key, whose Python cannot get as far as the library."""
import io
import os
import sys

from uplink_python import errors
from uplink_python.module_classes import (
    Config, CustomMetadata, CustomMetadataEntry, DownloadOptions, ListBucketsOptions, ListObjectsOptions, Permission,
    SharePrefix, UploadOptions)
from uplink_python.uplink import Uplink

SATELLITE, KEY, PASSPHRASE = (os.environ[name] for name in ("ACRE_SATELLITE", "ACRE_API_KEY", "ACRE_PASSPHRASE"))
EXPIRES = 4000000000


def raises(kind, function, *args):
    try:
        function(*args)
    except kind as error:
        assert error.details, error
    else:
        raise AssertionError(f"{function} did not raise {kind}")


def access_grants(uplink):
    access = uplink.request_access_with_passphrase(SATELLITE, KEY, PASSPHRASE)
    config = Config("bindings-test", 5000, "inmemory")
    again = uplink.config_request_access_with_passphrase(config, SATELLITE, KEY, PASSPHRASE)
    assert uplink.parse_access(access.serialize()).serialize() == again.serialize()
    raises(errors.InternalError, uplink.parse_access, "not an access grant")
    raises(errors.InternalError, uplink.request_access_with_passphrase, SATELLITE, "not an API key", PASSPHRASE)
    return access, again.config_open_project(config)


def buckets(project):
    for name in ("python-b", "python-a"):
        project.create_bucket(name)
    raises(errors.BucketAlreadyExistError, project.create_bucket, "python-a")
    raises(errors.BucketNameInvalidError, project.create_bucket, "")
    assert project.ensure_bucket("python-a").created == project.stat_bucket("python-a").created > 0
    names = [bucket.name for bucket in project.list_buckets()]
    assert names == sorted(names) and {"python-a", "python-b"} <= set(names)
    after = [bucket.get_dict()["name"] for bucket in project.list_buckets(ListBucketsOptions("python-a"))]
    assert "python-b" in after and "python-a" not in after
    assert project.delete_bucket("python-b").name == "python-b"
    raises(errors.BucketNotFoundError, project.stat_bucket, "python-b")


def objects(project):
    data = bytes(i * 7 & 255 for i in range(100001))
    upload = project.upload_object("python-a", "dir/object", UploadOptions(EXPIRES))
    upload.write_file(io.BytesIO(data[:50000]))
    assert upload.write(data[50000:], 50001) == 50001
    upload.set_custom_metadata(CustomMetadata([CustomMetadataEntry("key", 3, "value", 5)], 1))
    upload.commit()
    raises(errors.UploadDoneError, upload.commit)
    assert upload.info().system.content_length == len(data)

    aborted = project.upload_object("python-a", "aborted")
    aborted.write(b"gone", 4)
    aborted.abort()
    raises(errors.ObjectNotFoundError, project.stat_object, "python-a", "aborted")
    raises(errors.ObjectKeyInvalidError, project.stat_object, "python-a", "")

    stat = project.stat_object("python-a", "dir/object")
    assert stat.system.expires == EXPIRES and stat.system.content_length == len(data)
    assert [(e.key, e.value) for e in stat.custom.entries] == [("key", "value")]

    download = project.download_object("python-a", "dir/object")
    assert download.file_size() == len(data) and download.info().key == "dir/object"
    target = io.BytesIO()
    download.read_file(target)
    download.close()
    assert target.getvalue() == data
    download = project.download_object("python-a", "dir/object", DownloadOptions(99990, 5))
    assert download.read(5) == (data[99990:99995], 5)
    download.close()
    # What is asked for beyond the end comes short, without an exception for what there is.
    download = project.download_object("python-a", "dir/object", DownloadOptions(99990, -1))
    assert download.read(100) == (data[99990:], 11)
    download.close()

    assert [(o.key, o.is_prefix) for o in project.list_objects("python-a")] == [("dir/", True)]
    listed = project.list_objects("python-a", ListObjectsOptions(prefix="dir/", system=True, custom=True))
    assert [o.key for o in listed] == ["dir/object"] and listed[0].get_dict()["custom"]["count"] == 1


def sharing(uplink, access):
    shared = access.share(Permission(allow_download=True, allow_list=True), [SharePrefix("python-a", "dir/")])
    theirs = uplink.parse_access(shared.serialize()).open_project()
    assert theirs.stat_object("python-a", "dir/object").system.content_length == 100001
    # The package knows no code for a missing permission and stumbles over it.
    try:
        theirs.delete_object("python-a", "dir/object")
    except (errors.StorjException, TypeError):
        pass
    else:
        raise AssertionError("a grant for reading deletes")
    theirs.close()


def main():
    uplink = Uplink()
    access, project = access_grants(uplink)
    buckets(project)
    objects(project)
    sharing(uplink, access)
    raises(errors.BucketNotEmptyError, project.delete_bucket, "python-a")
    project.delete_object("python-a", "dir/object")
    project.delete_bucket("python-a")
    project.close()
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
