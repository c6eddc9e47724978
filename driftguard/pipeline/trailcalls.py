"""The attributes that a call of AWS's API can change: what a CloudTrail event can prove.

Sources: the API references of the services, and the attributes of the AWS provider's types. A call that is not here can
have changed anything, so that nothing but its time is evidence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

# The request names what it changes, key by key; nothing else is changed.
_BY_KEYS: Final = "="
# The request holds the whole object, or names attributes in values, which are not kept: none of them is evidence.
_WHOLE: Final = "*"

_RULE: Final = (
    "cidr_blocks ipv6_cidr_blocks cidr_ipv4 cidr_ipv6 from_port to_port ip_protocol protocol prefix_list_ids "
    "prefix_list_id referenced_security_group_id source_security_group_id self description"
)
_ROUTE: Final = (
    "route gateway_id nat_gateway_id transit_gateway_id vpc_peering_connection_id network_interface_id "
    "egress_only_gateway_id vpc_endpoint_id destination_cidr_block destination_ipv6_cidr_block state origin"
)
_ACL_ENTRY: Final = "ingress egress rule_action rule_number cidr_block ipv6_cidr_block from_port to_port protocol"
_BALANCER: Final = (
    "access_logs connection_logs idle_timeout enable_deletion_protection enable_http2 enable_waf_fail_open "
    "enable_cross_zone_load_balancing cross_zone_load_balancing drop_invalid_header_fields desync_mitigation_mode "
    "preserve_host_header xff_header_processing_mode client_keep_alive enable_xff_client_port connection_draining "
    "connection_draining_timeout enable_tls_version_and_cipher_suite_headers"
)
_TARGETS: Final = (
    "deregistration_delay stickiness slow_start load_balancing_algorithm_type load_balancing_cross_zone_enabled "
    "load_balancing_anomaly_mitigation preserve_client_ip proxy_protocol_v2 connection_termination target_failover "
    "target_health_state target_group_health lambda_multi_value_headers_enabled"
)
_CODE: Final = (
    "source_code_hash source_code_size code_sha256 filename s3_bucket s3_key s3_object_version image_uri version "
    "last_modified architectures qualified_arn"
)
_RECORD: Final = (
    "records ttl alias type weighted_routing_policy latency_routing_policy failover_routing_policy "
    "geolocation_routing_policy multivalue_answer_routing_policy set_identifier health_check_id"
)

_PUBLIC_ACCESS: Final = "block_public_acls block_public_policy ignore_public_acls restrict_public_buckets"

# By service and call, the latter without a version at its end.
_CALLS: Final[Mapping[str, Mapping[str, str]]] = {
    "ec2": {
        "AuthorizeSecurityGroupIngress": f"ingress {_RULE}",
        "RevokeSecurityGroupIngress": f"ingress {_RULE}",
        "AuthorizeSecurityGroupEgress": f"egress {_RULE}",
        "RevokeSecurityGroupEgress": f"egress {_RULE}",
        "ModifySecurityGroupRules": f"ingress egress {_RULE}",
        "UpdateSecurityGroupRuleDescriptionsIngress": "ingress description",
        "UpdateSecurityGroupRuleDescriptionsEgress": "egress description",
        "ModifyInstanceAttribute": _BY_KEYS,
        "ModifyInstanceMetadataOptions": "metadata_options",
        "ModifyInstanceCreditSpecification": "credit_specification",
        "StartInstances": "instance_state public_ip public_dns",
        "StopInstances": "instance_state public_ip public_dns",
        "MonitorInstances": "monitoring",
        "UnmonitorInstances": "monitoring",
        "AssociateIamInstanceProfile": "iam_instance_profile",
        "ReplaceIamInstanceProfileAssociation": "iam_instance_profile",
        "DisassociateIamInstanceProfile": "iam_instance_profile",
        "ModifyVolume": "size type iops throughput root_block_device ebs_block_device",
        "ModifyNetworkInterfaceAttribute": _BY_KEYS,
        "ModifySubnetAttribute": _BY_KEYS,
        "ModifyVpcAttribute": _BY_KEYS,
        "ModifyVpcEndpoint": _BY_KEYS,
        "ModifyLaunchTemplate": "default_version",
        "CreateLaunchTemplateVersion": _BY_KEYS,
        "CreateRoute": _ROUTE,
        "ReplaceRoute": _ROUTE,
        "DeleteRoute": _ROUTE,
        "AssociateRouteTable": "route_table_id subnet_id gateway_id",
        "ReplaceRouteTableAssociation": "route_table_id",
        "DisassociateRouteTable": "route_table_id subnet_id gateway_id",
        "CreateNetworkAclEntry": _ACL_ENTRY,
        "ReplaceNetworkAclEntry": _ACL_ENTRY,
        "DeleteNetworkAclEntry": _ACL_ENTRY,
        "AssociateAddress": "instance network_interface association_id private_ip associate_with_private_ip",
        "DisassociateAddress": "instance network_interface association_id private_ip associate_with_private_ip",
    },
    "s3": {
        "PutBucketPolicy": "policy",
        "DeleteBucketPolicy": "policy",
        "PutBucketAcl": "acl grant access_control_policy",
        "PutBucketVersioning": "versioning versioning_configuration mfa",
        "PutBucketEncryption": "server_side_encryption_configuration rule",
        "DeleteBucketEncryption": "server_side_encryption_configuration rule",
        "PutBucketLifecycle": "lifecycle_rule rule transition_default_minimum_object_size",
        "PutBucketLifecycleConfiguration": "lifecycle_rule rule transition_default_minimum_object_size",
        "DeleteBucketLifecycle": "lifecycle_rule rule",
        "PutBucketCors": "cors_rule",
        "DeleteBucketCors": "cors_rule",
        "PutBucketReplication": "replication_configuration rule role",
        "DeleteBucketReplication": "replication_configuration rule role",
        "PutBucketLogging": "logging target_bucket target_prefix target_grant target_object_key_format",
        "PutBucketWebsite": "website index_document error_document redirect_all_requests_to routing_rule routing_rules",
        "DeleteBucketWebsite": "website index_document error_document redirect_all_requests_to routing_rule",
        "PutBucketPublicAccessBlock": _PUBLIC_ACCESS,
        "DeleteBucketPublicAccessBlock": _PUBLIC_ACCESS,
        "PutBucketOwnershipControls": "rule",
        "PutBucketNotification": "lambda_function queue topic eventbridge",
        "PutAccelerateConfiguration": "acceleration_status status",
        "PutBucketRequestPayment": "request_payer payer",
        "PutObjectLockConfiguration": "object_lock_configuration rule",
    },
    "rds": {
        "ModifyDBInstance": _BY_KEYS,
        "ModifyDBCluster": _BY_KEYS,
        "ModifyDBParameterGroup": "parameter",
        "ResetDBParameterGroup": "parameter",
        "ModifyDBClusterParameterGroup": "parameter",
        "ModifyDBSubnetGroup": "subnet_ids description supported_network_types vpc_id",
        "StartDBInstance": "status",
        "StopDBInstance": "status",
        "RebootDBInstance": "status",
    },
    "iam": {
        "PutRolePolicy": "inline_policy policy",
        "DeleteRolePolicy": "inline_policy policy",
        "PutUserPolicy": "policy",
        "PutGroupPolicy": "policy",
        "AttachRolePolicy": "managed_policy_arns policy_arns",
        "DetachRolePolicy": "managed_policy_arns policy_arns",
        "UpdateAssumeRolePolicy": "assume_role_policy",
        "UpdateRole": "description max_session_duration",
        "UpdateRoleDescription": "description",
        "PutRolePermissionsBoundary": "permissions_boundary",
        "DeleteRolePermissionsBoundary": "permissions_boundary",
        "CreatePolicyVersion": "policy",
        "SetDefaultPolicyVersion": "policy",
        "AddUserToGroup": "users groups",
        "RemoveUserFromGroup": "users groups",
        "UpdateAccessKey": "status",
        "UpdateAccountPasswordPolicy": _BY_KEYS,
        "AddRoleToInstanceProfile": "role",
        "RemoveRoleFromInstanceProfile": "role",
    },
    "lambda": {
        "UpdateFunctionConfiguration": _BY_KEYS,
        "UpdateFunctionCode": _CODE,
        "PutFunctionConcurrency": "reserved_concurrent_executions",
        "DeleteFunctionConcurrency": "reserved_concurrent_executions",
        "AddPermission": "action principal source_arn source_account function_url_auth_type policy",
        "RemovePermission": "action principal source_arn source_account function_url_auth_type policy",
        "UpdateEventSourceMapping": _BY_KEYS,
        "UpdateAlias": _BY_KEYS,
        "PublishVersion": "version qualified_arn qualified_invoke_arn",
    },
    "elasticloadbalancing": {
        "ModifyLoadBalancerAttributes": _BALANCER,
        "ModifyListener": "default_action certificate_arn port protocol ssl_policy alpn_policy mutual_authentication",
        "ModifyRule": "action condition",
        "SetRulePriorities": "priority",
        "ModifyTargetGroup": "health_check",
        "ModifyTargetGroupAttributes": _TARGETS,
        "SetSecurityGroups": "security_groups",
        "SetSubnets": "subnets subnet_mapping",
        "SetIpAddressType": "ip_address_type",
        "RegisterTargets": "target_id port availability_zone",
        "DeregisterTargets": "target_id port availability_zone",
    },
    "dynamodb": {
        "UpdateTable": _BY_KEYS,
        "UpdateTimeToLive": "ttl",
        "UpdateContinuousBackups": "point_in_time_recovery",
    },
    "sqs": {"SetQueueAttributes": _BY_KEYS, "AddPermission": "policy", "RemovePermission": "policy"},
    "sns": {
        "SetTopicAttributes": _WHOLE,
        "SetSubscriptionAttributes": _WHOLE,
        "AddPermission": "policy",
        "RemovePermission": "policy",
    },
    "kms": {
        "PutKeyPolicy": "policy",
        "EnableKeyRotation": "enable_key_rotation rotation_period_in_days",
        "DisableKeyRotation": "enable_key_rotation rotation_period_in_days",
        "EnableKey": "is_enabled",
        "DisableKey": "is_enabled",
        "ScheduleKeyDeletion": "is_enabled",
        "CancelKeyDeletion": "is_enabled",
        "UpdateKeyDescription": "description",
        "UpdateAlias": "target_key_id target_key_arn",
    },
    "route53": {
        "ChangeResourceRecordSets": _RECORD,
        "UpdateHostedZoneComment": "comment",
        "AssociateVPCWithHostedZone": "vpc",
        "DisassociateVPCFromHostedZone": "vpc",
        "UpdateHealthCheck": _BY_KEYS,
    },
    "ecs": {
        "UpdateService": _BY_KEYS,
        "UpdateCluster": "setting configuration service_connect_defaults",
        "UpdateClusterSettings": "setting",
        "PutClusterCapacityProviders": "capacity_providers default_capacity_provider_strategy",
    },
    "eks": {
        "UpdateClusterConfig": _BY_KEYS,
        "UpdateClusterVersion": "version platform_version",
        "UpdateNodegroupConfig": _BY_KEYS,
        "UpdateNodegroupVersion": "version release_version launch_template",
        "UpdateAddon": _BY_KEYS,
    },
    "logs": {
        "PutRetentionPolicy": "retention_in_days",
        "DeleteRetentionPolicy": "retention_in_days",
        "AssociateKmsKey": "kms_key_id",
        "DisassociateKmsKey": "kms_key_id",
        "PutMetricFilter": "pattern metric_transformation",
        "PutSubscriptionFilter": "filter_pattern destination_arn role_arn distribution",
    },
    "monitoring": {
        "PutMetricAlarm": _WHOLE,
        "EnableAlarmActions": "actions_enabled",
        "DisableAlarmActions": "actions_enabled",
        "PutDashboard": "dashboard_body",
    },
    "events": {
        "PutRule": _BY_KEYS,
        "EnableRule": "state is_enabled",
        "DisableRule": "state is_enabled",
        "PutTargets": _WHOLE,
    },
    "autoscaling": {
        "UpdateAutoScalingGroup": _BY_KEYS,
        "SetDesiredCapacity": "desired_capacity",
        "SuspendProcesses": "suspended_processes",
        "ResumeProcesses": "suspended_processes",
        "AttachLoadBalancerTargetGroups": "target_group_arns",
        "DetachLoadBalancerTargetGroups": "target_group_arns",
        "AttachLoadBalancers": "load_balancers",
        "DetachLoadBalancers": "load_balancers",
        "EnableMetricsCollection": "enabled_metrics",
        "DisableMetricsCollection": "enabled_metrics",
        "PutScalingPolicy": _WHOLE,
    },
    "elasticache": {
        "ModifyReplicationGroup": _BY_KEYS,
        "ModifyCacheCluster": _BY_KEYS,
        "ModifyCacheParameterGroup": "parameter",
    },
    "secretsmanager": {
        "UpdateSecret": "description kms_key_id",
        "PutResourcePolicy": "policy",
        "DeleteResourcePolicy": "policy",
    },
    "ssm": {"PutParameter": "value insecure_value type description tier allowed_pattern key_id data_type version"},
    "apigateway": {"UpdateRestApi": _WHOLE, "UpdateStage": _WHOLE},
    "cloudfront": {"UpdateDistribution": _WHOLE},
}
# Keys of requests with names of their own for an attribute, as letters only.
_KEYS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "vpc_security_group_ids": ("groupset", "groups", "securitygroupids", "vpcsecuritygroupids"),
    "security_groups": ("groupset", "groups", "securitygroupids"),
    "ca_cert_identifier": ("cacertificateidentifier",),
    "performance_insights_enabled": ("enableperformanceinsights",),
    "iam_database_authentication_enabled": ("enableiamdatabaseauthentication",),
    "enabled_cloudwatch_logs_exports": ("cloudwatchlogsexportconfiguration",),
    "max_message_size": ("maximummessagesize",),
    "message_retention_seconds": ("messageretentionperiod",),
    "receive_wait_time_seconds": ("receivemessagewaittimeseconds",),
    "read_capacity": ("provisionedthroughput",),
    "write_capacity": ("provisionedthroughput",),
    "stream_enabled": ("streamspecification",),
    "stream_view_type": ("streamspecification",),
    "server_side_encryption": ("ssespecification",),
    "deployment_maximum_percent": ("deploymentconfiguration",),
    "deployment_minimum_healthy_percent": ("deploymentconfiguration",),
    "vpc_config": ("resourcesvpcconfig", "vpcconfig"),
    "enabled_cluster_log_types": ("logging",),
    "taint": ("taints",),
}
_TAGGING: Final = re.compile(
    r"(?:Untag|Tag)[A-Z]\w*|(?:Create|Delete|Add|Remove|Change|CreateOrUpdate|Put)(?:[A-Z]\w*)?Tag(?:s|ging)(?:[A-Z]\w*)?"
)
_TAGS: Final = frozenset({"tags", "tags_all", "tag"})
# A word shorter than this is only compared as a whole: `id` and `type` are part of almost everything.
_MIN_PART_LENGTH: Final = 6


class Reach(StrEnum):
    """What is known of a call and an attribute.

    PROVEN: the call changes it. POSSIBLE: it may have. IMPOSSIBLE: it cannot have. UNKNOWN: the call is not known.
    """

    PROVEN = "proven"
    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"
    UNKNOWN = "unknown"


def reach(service: str, action: str, fields: Collection[str], attribute: str) -> Reach:
    """Whether a call can have changed a top-level attribute.

    Args:
        service: as in `service.amazonaws.com`.
        action: the call without a version at its end.
        fields: the keys of its request at every depth; empty where the record does not hold them.
    """
    if _TAGGING.fullmatch(action):
        return Reach.PROVEN if attribute in _TAGS else Reach.IMPOSSIBLE
    changes = _CALLS.get(service, {}).get(action)
    if changes is None:
        return Reach.UNKNOWN
    if changes not in (_WHOLE, _BY_KEYS):
        return Reach.PROVEN if attribute in changes.split() else Reach.IMPOSSIBLE
    if changes == _WHOLE or not fields:
        return Reach.IMPOSSIBLE if attribute in _TAGS else Reach.POSSIBLE
    return Reach.PROVEN if _names(attribute, {letters(field) for field in fields}) else Reach.IMPOSSIBLE


def is_known(service: str, action: str) -> bool:
    """Whether the table knows what a call changes."""
    return action in _CALLS.get(service, {}) or _TAGGING.fullmatch(action) is not None


def known_calls() -> Mapping[str, Collection[str]]:
    """The calls of the table, by service; tagging apart, which is known of every service."""
    return {service: calls.keys() for service, calls in _CALLS.items()}


def letters(text: str) -> str:
    """The letters of a name, in lower case: as Terraform and AWS's APIs both write it."""
    return re.sub(r"[^a-z]", "", text.lower())


def _names(attribute: str, keys: Collection[str]) -> bool:
    """Whether keys of a request name an attribute: by its own letters, or by one as part of the other."""
    word = letters(attribute.removesuffix("_configuration"))
    if word in keys or not set(_KEYS_OF.get(attribute, ())).isdisjoint(keys):
        return True
    return any(min(len(key), len(word)) >= _MIN_PART_LENGTH and (key in word or word in key) for key in keys)
