"""The gRPC door: the Open Inference Protocol, health and reflection, on a port of its own in the gateway's process.

```
channel ─▶ server ─▶ inference ─▶ contents ─▶ serving.tensors ─▶ rows ─▶ the room (serving.gateway)
              │         │ errors: status
              │         └──▶ call ──▶ counters, access log, traces
              ├──▶ health, reflection
              └──── messages: every class, out of a private descriptor pool
```

Imported only where a gRPC port is configured: grpcio and protobuf are the extra `fairlead[grpc]`.
"""
