"""The service by which operators change the policy of running routers."""
