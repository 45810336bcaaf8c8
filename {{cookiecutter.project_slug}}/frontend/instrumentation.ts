/** Next calls this once when a server starts. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { canSendMail } = await import("./lib/mail");
  if (!canSendMail) {
    console.warn(
      "Email is not configured. Until SMTP_URL and MAIL_FROM are set, nobody can reset a password or confirm an email address.",
    );
  }
}
