"""Make the AWS role of a cluster's nodes: `python deploy/aws_role.py BUCKET`. It needs boto3 and your credentials.

Nodes may read and write that one bucket. The head starts and ends the workers and hands the role on to them, which
the role that Ray makes by default may not. To undo it, delete role and instance profile of that name in the console.
"""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from typing import Any

import boto3

NAME = "ablation-node"  # what cluster.yaml calls it


def statements(bucket: str, role_arn: str) -> list[dict[str, Any]]:
    """Return what nodes may do."""
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        },
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": f"arn:aws:s3:::{bucket}",
        },
        {
            "Effect": "Allow",
            "Action": [
                "ec2:Describe*",
                "ec2:RunInstances",
                "ec2:TerminateInstances",
                "ec2:StartInstances",
                "ec2:StopInstances",
                "ec2:CreateTags",
                "ssm:GetParameters",
            ],
            "Resource": "*",
        },
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role_arn},
    ]


def make_role(bucket: str) -> str:
    """Make role and instance profile, or bring them up to date, and return the role's ARN."""
    iam = boto3.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
    try:
        role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=NAME)["Role"]
    allowed = {"Version": "2012-10-17", "Statement": statements(bucket, role["Arn"])}
    iam.put_role_policy(RoleName=NAME, PolicyName=NAME, PolicyDocument=json.dumps(allowed))
    with suppress(iam.exceptions.EntityAlreadyExistsException):  # from an earlier call, which may have got no further
        iam.create_instance_profile(InstanceProfileName=NAME)
    with suppress(iam.exceptions.LimitExceededException):  # a profile has one role at most
        iam.add_role_to_instance_profile(InstanceProfileName=NAME, RoleName=NAME)
    # Nobody has spot instances without it, and nodes may not make it.
    with suppress(iam.exceptions.InvalidInputException, iam.exceptions.EntityAlreadyExistsException):
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    return str(role["Arn"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bucket", help="the bucket of --out, by its bare name")
    arn = make_role(parser.parse_args().bucket)
    print(f"{arn}\nnodes of cluster.yaml run as instance profile {NAME}")
