"""A store that speaks S3 and that nobody here wrote: moto's server, on loopback, which looks at keys and signatures.

It writes a line of JSON once it is there and answers each line that it reads with another.
"""

import json
import os
import sys

# From the first request on, whoever comes needs a key that may do what they ask.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

import boto3
from botocore.config import Config
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.server import ThreadedMotoServer

BUCKET = "files"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


def user(name):
    people = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    people.create_user("us-east-1", name)
    people.put_user_policy(name, "everything", json.dumps(EVERYTHING))
    return people.create_access_key(name)


def say(message):
    print(json.dumps(message), flush=True)


def main():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keeper, clinic = user("keeper"), user("clinic")
    store = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keeper.access_key_id,
        aws_secret_access_key=keeper.secret_access_key,
        config=Config(retries={"max_attempts": 1}),
    )
    store.create_bucket(Bucket=BUCKET)
    say({"endpoint": endpoint, "bucket": BUCKET, "key": clinic.access_key_id, "secret": clinic.secret_access_key})
    for line in sys.stdin:
        wish = line.strip()
        if wish == "make":
            store.create_bucket(Bucket=BUCKET)
            say([])
            continue
        found = store.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        unfinished = store.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        if wish == "remove":
            for thing in found:
                store.delete_object(Bucket=BUCKET, Key=thing["Key"])
            store.delete_bucket(Bucket=BUCKET)
        say([[thing["Key"], thing["Size"]] for thing in found] + [[thing["Key"], -1] for thing in unfinished])


main()
