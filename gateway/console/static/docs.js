// Everything that would ask another host is off: fonts, telemetry, the agent, the proxy, the external client.
Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  proxyUrl: "",
  hideClientButton: true,
  showDeveloperTools: "never",
  favicon: document.body.dataset.icon,
  authentication: { preferredSecurityScheme: "key" },
  persistAuth: false,
  theme: "default",
  defaultOpenAllTags: false,
});
